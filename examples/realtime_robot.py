"""Learning in a background thread while a robot is controlled at 20 Hz.

The robot is a cartpole swing-up simulated in real time (`pip install '.[dmc]'`): one control step advances the
physics by 50 ms. On hardware, `env.step` sends the action and reads the sensors. Ctrl-C stops the loop cleanly.
"""

import argparse
import contextlib
import dataclasses

import surefoot
from surefoot.algorithms import AdamW

HZ = 20

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=480.0, help="wall-clock duration")
parser.add_argument("--save", help="folder in which the agent is saved at the end")
parser.add_argument("--fast", action="store_true", help="12 seconds with small networks")
args = parser.parse_args()

# Smaller networks and larger learning rates than the preset: two updates have to fit into 50 ms on two cores.
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
    for _step in range(round(args.seconds * HZ)):
        clock.tick()
        action = learner.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        learner.observe(obs, action, reward, next_obs, terminated, truncated)
        obs, total = next_obs, total + reward
        if terminated or truncated:  # every 10 s
            episode += 1
            print(f"episode {episode}: return {total:.0f} of 1000, UTD {learner.stats().utd:.2f}", flush=True)
            (obs, _), total = env.reset(), 0.0

learner_stats, clock_stats = learner.stats(), clock.stats()
print(f"real-time priority: {learner_stats.realtime}, latest wake-up {clock_stats.latest_wake_seconds:.4f} s")
print(f"deadlines: {clock_stats.missed} of {clock_stats.steps} missed ({clock_stats.missed_share:.2%})")
print(f"learning:  UTD {learner_stats.utd:.2f} of {algorithm.utd}, {learner_stats.grad_steps} gradient updates")
print(f"staleness: {learner_stats.stale_agent_steps:.1f} control steps, {learner_stats.stale_seconds:.3f} s (means)")
if args.save:
    agent.save(args.save)
