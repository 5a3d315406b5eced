"""Small runs for stress tests.

``python -m tests.storm.programs VARIANT OUT`` starts the run in OUT, or resumes it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import surefoot
from surefoot.training import loop  # noqa: F401  # Imported here, before processes are forked.
from surefoot.training.events import Observer
from tests.training.small import small

EPISODE_STEPS = 25


class Drift(gymnasium.Env):
    """A point that drifts with its noise and its actions, until it leaves [-2, 2] or the time limit.

    Its state and reward depend on every earlier action of the episode.
    """

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._position = np.zeros(2)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._position, self._steps = self.np_random.uniform(-1.0, 1.0, 2), 0
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._position += 0.4 * action.astype(np.float64) + self.np_random.normal(0.0, 0.2, 2)
        self._steps += 1
        left = bool(np.abs(self._position).max() > 2.0)
        reward = -float(np.square(self._position).sum())
        return self._observe(), reward, left, not left and self._steps == EPISODE_STEPS, {}

    def _observe(self) -> np.ndarray:
        return np.array([*self._position, self._steps / EPISODE_STEPS], np.float32)


def drift() -> Drift:
    return Drift()


_SETTINGS: dict[str, Any] = {
    "env_steps": 300,
    "num_seeds": 2,
    "evaluate_every": 80,
    "checkpoint_every": 37,
    "log_every": 30,
    "diagnose_every": 0,
    "evaluation_episodes": 2,
    "replay_capacity": 150,
    "env_workers": 0,
    "precision": "float32",
}
"""Checkpoints within episodes, and a replay ring that wraps."""

_VARIANTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "sac": (surefoot.sac, {}),
    "crossq-wn": (lambda: surefoot.crossq_wn(utd=2), {"diagnose_every": 90}),
    "overlap": (surefoot.sac, {"overlap": True}),
    "workers": (surefoot.sac, {"env_workers": 1}),
}
VARIANTS = tuple(_VARIANTS)
ENV_STEPS = _SETTINGS["env_steps"]


def start_or_resume(
    variant: str, out: Path, observer: Observer | None = None, callbacks: Sequence[surefoot.Callback] = ()
) -> surefoot.Run:
    """Start a run, or resume the one in ``out``, as a script of a scheduler does."""
    if (out / "config.json").exists():
        return surefoot.resume(out, task=drift, observer=observer, callbacks=callbacks)
    algorithm, changes = _VARIANTS[variant]
    settings = _SETTINGS | changes
    return surefoot.train(
        drift, algorithm=small(algorithm()), out=out, observer=observer, callbacks=callbacks, **settings
    )


if __name__ == "__main__":
    # The callable must belong to the module that other processes import, not to __main__.
    from tests.storm import programs

    programs.start_or_resume(sys.argv[1], Path(sys.argv[2]))
