"""A robot that will not wait: a control step every 50 ms by the wall clock, and a thread that learns beside it.

The robot is a simulated cartpole that has to swing up (pip install 'surefoot[dmc]'), in real time: a control step takes
the physics 50 ms further. On a real one, `env.step` sends the action and reads the sensors. Ctrl-C ends it in order.
"""

import argparse
import contextlib
import dataclasses

import surefoot
from surefoot.algorithms import AdamW

HZ = 20

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=480.0, help="how long, by the wall clock")
parser.add_argument("--save", help="a folder for the agent when the time is up")
parser.add_argument("--fast", action="store_true", help="12 seconds with small networks, to see that it runs")
args = parser.parse_args()

# Narrower and faster than the preset: two cores have 50 ms for two updates, and the lesson has minutes, not hours.
base, width, warmup = surefoot.crossq_wn_code(utd=2), 256, 400
if args.fast:
    args.seconds, width, warmup = 12.0, 32, 100
algorithm = base.replace(
    actor=dataclasses.replace(base.actor, widths=(width // 2, width // 2)),
    critic=dataclasses.replace(base.critic, widths=(width, width)),
    actor_optimizer=dataclasses.replace(base.actor_optimizer, learning_rate=1e-3),
    critic_optimizer=dataclasses.replace(base.critic_optimizer, learning_rate=1e-3),
    temperature=dataclasses.replace(base.temperature, initial=0.1, optimizer=AdamW(learning_rate=1e-3)),
    warmup_transitions=warmup,
    discount=0.97,
)

env = surefoot.get_task("cartpole-swingup").make(action_repeat=5)  # 5 x 10 ms of physics
agent = surefoot.Agent(env.observation_space, env.action_space, algorithm, replay_capacity=100_000)
clock = surefoot.ControlClock(HZ)
obs, _ = env.reset(seed=0)
total, episode = 0.0, 0
with surefoot.AsyncLearner(agent, realtime=True) as learner, contextlib.suppress(KeyboardInterrupt):
    for _ in range(round(args.seconds * HZ)):
        clock.tick()
        action = learner.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        learner.observe(obs, action, reward, next_obs, terminated, truncated)
        obs, total = next_obs, total + reward
        if terminated or truncated:  # every 10 s
            episode += 1
            print(f"episode {episode}: return {total:.0f} of 1000, UTD {learner.stats().utd:.2f}", flush=True)
            (obs, _), total = env.reset(), 0.0

learned, kept = learner.stats(), clock.stats()
print(f"real-time priority: {learned.realtime}, latest wake-up {kept.latest_wake_seconds:.4f} s")
print(f"deadlines: {kept.missed} of {kept.steps} missed ({kept.missed_share:.2%})")
print(f"learning:  UTD {learned.utd:.2f} of {algorithm.utd}, {learned.grad_steps} gradient updates")
print(f"staleness: {learned.stale_agent_steps:.1f} control steps, {learned.stale_seconds:.3f} s (means)")
if args.save:
    agent.save(args.save)
