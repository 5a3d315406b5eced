"""A robot that will not wait: a control step every 50 ms by the wall clock, and a thread that learns beside it.

The robot is a simulated cartpole that has to swing up (pip install 'surefoot[dmc]'), in real time: every control step
takes the physics 50 ms further. On a real one, `env.step` sends the action and reads the sensors. Ctrl-C ends it in
good order.
"""

import argparse
import dataclasses

import surefoot

HZ = 20
PHYSICS_STEPS = 5  # of 10 ms, per control step

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=480.0, help="how long, by the wall clock")
parser.add_argument("--save", help="a folder for the agent when the time is up")
parser.add_argument("--fast", action="store_true", help="12 seconds with small networks, to see that it runs")
args = parser.parse_args()

algorithm = surefoot.crossq_wn_code(utd=2).replace(warmup_transitions=400)
if args.fast:
    args.seconds = 12.0
    narrow = dataclasses.replace(algorithm.critic, widths=(32, 32))
    algorithm = algorithm.replace(actor=narrow, critic=narrow, batch_size=32, warmup_transitions=100)

env = surefoot.get_task("cartpole-swingup").make(action_repeat=PHYSICS_STEPS)
agent = surefoot.Agent(env.observation_space, env.action_space, algorithm, replay_capacity=100_000)
clock = surefoot.ControlClock(HZ)
obs, _ = env.reset(seed=0)
total, episode = 0.0, 0
with surefoot.AsyncLearner(agent, realtime=True) as learner:
    try:
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
    except KeyboardInterrupt:
        print("stopped")
    learned, kept = learner.stats(), clock.stats()

priority = "real-time" if learned.realtime else "ordinary"
print(f"deadlines  {kept.missed} of {kept.steps} missed ({kept.missed_share:.2%}) at {priority} priority")
print(f"           longest step {kept.longest_step_seconds:.4f} s, latest wake-up {kept.latest_wake_seconds:.4f} s")
print(f"learning   UTD {learned.utd:.2f} of {algorithm.utd}, {learned.grad_steps} gradient updates")
print(
    f"staleness  {learned.stale_agent_steps:.1f} control steps, {learned.stale_seconds:.3f} s, "
    f"{learned.stale_grad_steps:.1f} gradient updates (means)"
)
if args.save:
    agent.save(args.save)
