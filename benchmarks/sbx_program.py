"""Update server for Stable-Baselines3's JAX CrossQ; runs in a Python with sbx-rl, without surefoot.

Arguments: observation size, action size, gradient updates per agent step. It prints its versions as one line of JSON,
then answers every number N on standard input with the seconds that the updates of N agent steps took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium
import jax
import numpy as np
import sbx


class FreeEnv(gymnasium.Env):
    """Environment without cost: random numbers drawn once, episodes of 500 steps."""

    def __init__(self, observation_size: int, action_size: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32)
        self._observations = np.random.default_rng(0).normal(size=(1_000, observation_size)).astype(np.float32)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Return the first observation."""
        del seed, options
        return self._observations[0], {}

    def step(self, action: Any) -> Any:
        """Return the next observation and a reward of 1."""
        del action
        self._steps += 1
        return self._observations[self._steps % 1_000], 1.0, False, self._steps % 500 == 0, {}


def main(observation_size: int, action_size: int, utd: int) -> None:
    """Serve requests until standard input ends."""
    batch_size = 256
    model = sbx.CrossQ(
        "MlpPolicy",
        FreeEnv(observation_size, action_size),
        # The sizes of CrossQ + WN; everything else is SBX's default.
        policy_kwargs={"net_arch": {"pi": [256, 256], "qf": [512, 512]}},
        batch_size=batch_size,
        buffer_size=100_000,
        learning_starts=1_000,
        train_freq=1,
        gradient_steps=utd,
        seed=0,
    )
    model.learn(1_020)

    def updates(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            model.train(utd, batch_size)
        jax.block_until_ready(model.policy.qf_state.params)
        return time.perf_counter() - start

    updates(3)
    versions = {
        "sbx": sbx.__version__,
        "jax": jax.__version__,
        "device": jax.default_backend(),
        "policy_delay": model.policy_delay,
    }
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        print(updates(int(line)), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
