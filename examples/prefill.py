"""Warm start from the transitions of a scripted controller.

The file has one row per agent step, in the environment's own units; `docs/warm-start.md` describes it. The equivalent
command is `surefoot train Pendulum-v1 --prefill pendulum.npz`.
"""

import argparse
import dataclasses

import gymnasium
import numpy as np

import surefoot

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--episodes", type=int, default=25, help="recorded episodes of 200 agent steps")
parser.add_argument("--env-steps", type=int, default=4_000, help="environment steps of training")
parser.add_argument("--fast", action="store_true", help="one recorded episode, small networks")
args = parser.parse_args()

algorithm = surefoot.crossq_wn_code(utd=1).replace(warmup_transitions=1_000)
if args.fast:
    args.episodes, args.env_steps = 1, 60
    narrow = dataclasses.replace(algorithm.critic, widths=(32, 32))
    algorithm = algorithm.replace(actor=narrow, critic=narrow, batch_size=32, warmup_transitions=200)


def swing_up(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bring the pendulum to its upright energy, then hold it there; noisy, so that the data is diverse."""
    cosine, sine, speed = obs
    missing = 15.0 * (1.0 - cosine) - 0.5 * speed**2  # energy / moment of inertia
    torque = -(12.0 * np.arctan2(sine, cosine) + 3.0 * speed) if cosine > 0.9 else 2.0 * np.sign(speed * missing)
    return np.clip([torque + rng.normal(scale=0.3)], -2.0, 2.0).astype(np.float32)


env, rng = gymnasium.make("Pendulum-v1"), np.random.default_rng(0)
names = ("observations", "actions", "rewards", "next_observations", "terminated", "truncated")
columns: dict[str, list] = {name: [] for name in names}
for episode in range(args.episodes):
    obs, _ = env.reset(seed=episode)
    ended = False
    while not ended:
        action = swing_up(obs, rng)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        for name, value in zip(names, (obs, action, reward, next_obs, terminated, truncated), strict=True):
            columns[name].append(value)
        obs, ended = next_obs, terminated or truncated
np.savez("pendulum.npz", **{name: np.array(column) for name, column in columns.items()})
rewards = columns["rewards"]
print(f"recorded {len(rewards):,} transitions, mean return {sum(rewards) / args.episodes:.0f}")

# These transitions count towards the warm-up: with enough of them, training starts at the first step.
settings = {"env_steps": args.env_steps, "evaluate_every": args.env_steps // 4, "overwrite": True}
run = surefoot.train("Pendulum-v1", algorithm=algorithm, prefill="pendulum.npz", out="runs/prefilled", **settings)
log = run.evaluations()
last = log["return"][log["env_steps"] == args.env_steps].mean()
print(f"after {args.env_steps:,} env steps of training: return {last:.0f}")
