"""A training loop of your own over any Gymnasium environment.

The loop does what `surefoot.train` does for one seed. Actions and observations are in the environment's own units. With
`--save FOLDER` the agent is saved at the end, and a second call continues from it.
"""

import argparse
import dataclasses
from pathlib import Path

import gymnasium

import surefoot

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="Pendulum-v1", help="a registered Gymnasium id")
parser.add_argument("--agent-steps", type=int, default=6_000, help="agent steps of this call")
parser.add_argument("--save", type=Path, help="folder of the agent; if it exists, training continues from it")
parser.add_argument("--fast", action="store_true", help="a few hundred agent steps with small networks")
args = parser.parse_args()

algorithm = surefoot.crossq_wn_code(utd=1).replace(warmup_transitions=1_000)
if args.fast:
    args.agent_steps = 300
    narrow = dataclasses.replace(algorithm.critic, widths=(32, 32))
    algorithm = algorithm.replace(actor=narrow, critic=narrow, batch_size=32, warmup_transitions=200)

env = gymnasium.make(args.env)
if args.save and args.save.exists():
    agent = surefoot.Agent.load(args.save, env.observation_space, env.action_space)
else:
    agent = surefoot.Agent(env.observation_space, env.action_space, algorithm, seed=0, replay_capacity=100_000)

obs, _ = env.reset(seed=agent.agent_steps)
total = 0.0
for _step in range(args.agent_steps):
    action = agent.act(obs)
    next_obs, reward, terminated, truncated, _ = env.step(action)
    agent.observe(obs, action, reward, next_obs, terminated, truncated)
    metrics = agent.update()  # algorithm.utd gradient updates; None during warm-up
    obs, total = next_obs, total + reward
    if terminated or truncated:
        loss = f", critic loss {metrics.critic.critic_loss:.3f}" if metrics else ", warm-up"
        print(f"agent step {agent.agent_steps}: return {total:.1f}{loss}", flush=True)
        obs, _ = env.reset()
        total = 0.0

policy = agent.policy()  # needs only NumPy; agent.save_policy writes it for surefoot.load_policy
print(f"action at the last observation: {policy(obs)}")
if args.save:
    agent.save(args.save)
