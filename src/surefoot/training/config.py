"""What a run is: everything that decides its numbers, and the cadences that do not."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.algorithms.config import Algorithm
from surefoot.errors import UserError
from surefoot.networks.matmul import PRECISIONS, Precision

MOST_TRANSITIONS = 1_000_000
"""Transitions that a replay buffer keeps per seed unless told otherwise."""

CADENCES = ("evaluate_every", "evaluation_episodes", "checkpoint_every", "log_every", "diagnose_every")
"""Settings that say when a run looks at itself, and change nothing in what is trained."""


def _whole(name: str, value: Any) -> int:
    """Return ``value`` as a plain int: of NumPy's integers and of floats such as 2e5, but not of 2.5 or True."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise UserError(f"{name} must be a whole number, got {value!r}")


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        task: a task name, a registered Gymnasium id, or a zero-argument callable that returns a gymnasium.Env.
        algorithm: the composition to train.
        num_seeds: independent agents trained in this process (S).
        seed: the first training seed; the agents use seed, seed + 1, ..., seed + S - 1.
        env_steps: simulator control steps per seed, action repeats included.
        evaluate_every: env_steps between evaluations (step 0 and the last step are always evaluated).
        evaluation_episodes: episodes per seed and evaluation.
        checkpoint_every: env_steps between checkpoints (the last step always makes one).
        log_every: env_steps between rows of training.csv.
        diagnose_every: env_steps between rows of diagnostics.csv; 0 for none.
        precision: of the layers' products in updates: "float32"; or faster, summed in float32 all the same, "bf16" (in
            hidden layers) or, on NVIDIA GPUs, "tf32".
        overlap: step the environments while the device updates. The updates of an agent step then cannot draw the
            transition of that very step, so each action comes from a policy one agent step behind. Evaluations are
            played beside training where cores are left over. Off is paper-exact.
        curvature: measure the critic loss's curvature in each of those rows, too, which costs about 120 gradients.
        replay_capacity: transitions kept per seed; None means the run's agent steps and the transitions it begins
            with, at most 1,000,000.
        env_workers: worker processes that step environments; 0 steps them in this process, None chooses from the
            number of cores and seeds.
        out: the run directory; None makes runs/<task>-<algorithm>-<n>.
        overwrite: replace a run that is already there.
        init_from: a run directory whose networks and temperature the agents begin with.
        init_replay: begin with that run's newest transitions in the replay buffer, too.
        prefill: an .npz file, or the id or folder of a Minari dataset, whose transitions are in the replay buffer
            before the first step.
    """

    task: str | Callable[[], Any]
    algorithm: Algorithm
    num_seeds: int = 1
    seed: int = 0
    env_steps: int = 1_000_000
    evaluate_every: int = 25_000
    evaluation_episodes: int = 5
    checkpoint_every: int = 25_000
    log_every: int = 1_000
    diagnose_every: int = 25_000
    precision: Precision = "float32"
    overlap: bool = False
    curvature: bool = False
    replay_capacity: int | None = None
    env_workers: int | None = None
    out: Path | None = None
    overwrite: bool = False
    init_from: Path | None = None
    init_replay: bool = False
    prefill: str | None = None

    def __post_init__(self) -> None:
        """Refuse values no run can have."""
        for name in ("num_seeds", "seed", "env_steps", *CADENCES, "replay_capacity", "env_workers"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _whole(name, value))
        for name in ("num_seeds", "env_steps", *CADENCES):
            least, expected = (0, "0 (never) or more") if name == "diagnose_every" else (1, "at least 1")
            if (value := getattr(self, name)) < least:
                raise UserError(f"{name} must be {expected}, got {value}")
        if self.precision not in PRECISIONS:
            raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        for name in ("overlap", "curvature"):
            if not isinstance(value := getattr(self, name), bool):
                raise UserError(f"{name} must be True or False, got {value!r}")
        if not 0 <= self.seed < 2**31 - self.num_seeds:
            raise UserError(f"seed must be between 0 and 2**31 - num_seeds - 1, got {self.seed}")
        if self.replay_capacity is not None and self.replay_capacity < self.algorithm.warmup_transitions:
            raise UserError(
                f"replay_capacity must hold at least the warm-up of {self.algorithm.warmup_transitions} transitions, "
                f"got {self.replay_capacity}"
            )
        if self.env_workers is not None and self.env_workers < 0:
            raise UserError(f"env_workers must be 0 (this process) or more, got {self.env_workers}")
        for name, kind in (("out", Path), ("init_from", Path), ("prefill", str)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, kind(_path(name, value)))
        self._check_warm_start()

    def _check_warm_start(self) -> None:
        if self.init_replay and self.init_from is None:
            raise UserError("init_replay needs init_from: the run whose transitions to begin with")
        if self.init_replay and self.prefill is not None:
            raise UserError("init_replay and prefill both fill the replay buffer: choose one")
        if self.overwrite and self.out and self.init_from and self.out.resolve() == self.init_from.resolve():
            raise UserError(f"init_from {self.init_from} is the run that overwrite would replace: choose another out")


def _path(name: str, value: Any) -> str:
    try:
        return os.fspath(value)
    except TypeError:
        raise UserError(f"{name} must be a path, got {value!r}") from None
