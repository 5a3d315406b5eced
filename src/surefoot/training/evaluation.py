"""Evaluation episodes of a policy, in environments of their own.

Evaluation episode e of training seed s always starts the same way, because its seed follows from (task, s, e).
Comparisons between checkpoints or algorithms are therefore paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from surefoot.errors import EnvironmentFailure
from surefoot.tasks import Task, VectorEnv, make_vector

_MAX_ENVIRONMENTS = 32
"""Environments that evaluate at a time; one of the dog tasks takes tens of megabytes and half a second to build."""

_MAX_EPISODE_STEPS = 100_000
"""Env steps after which an episode without a declared time limit is considered endless."""


@dataclass(frozen=True)
class EvaluationResult:
    """Outcome of evaluation episodes; every array is [S, E].

    Attributes:
        returns: Undiscounted sums of rewards; NaN for seeds that diverged, whose other arrays are those of zero
            actions.
        lengths: Environment steps.
        success_any: Solved at the end of any agent step; None where the environment reported no success.
        success_last: Solved at the end of the last agent step; None likewise.
        first_success: Environment steps up to the first solved agent step, 0 where there was none; None likewise.
    """

    returns: np.ndarray
    lengths: np.ndarray
    success_any: np.ndarray | None
    success_last: np.ndarray | None
    first_success: np.ndarray | None

    def __repr__(self) -> str:
        seeds, episodes = self.returns.shape
        known = ~np.isnan(self.returns)
        solved = "" if self.success_any is None else f", solved={self.success_any[known].mean():.0%}"
        mean = f"{self.returns[known].mean():.4g}"
        return f"EvaluationResult(seeds={seeds}, episodes={episodes}, mean_return={mean}{solved})"

    def scores(self, task: Task) -> np.ndarray:
        """Return the task's score of each episode: return or success (at any step) over its scale; NaN if diverged."""
        if task.score_metric == "return":
            return self.returns / task.score_scale
        assert self.success_any is not None
        return np.where(np.isnan(self.returns), np.nan, self.success_any) / task.score_scale


def environments_per_seed(seeds: int, episodes: int) -> int:
    """Return L, the number of environments in which each seed's evaluation episodes are played at a time."""
    most = max(1, min(episodes, _MAX_ENVIRONMENTS // seeds))
    waves = -(-episodes // most)
    return -(-episodes // waves)


class Evaluator:
    """Runs E episodes per seed.

    Args:
        task: Evaluation task.
        seeds: Training seeds, S of them.
        episodes: E, per seed.
        action_repeat: Environment steps per agent step; None for the task's.
        num_workers: Processes that step the environments; 0 for this process, None for an automatic choice.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        episodes: int,
        action_repeat: int | None = None,
        num_workers: int | None = None,
    ) -> None:
        self._num_seeds, self._episodes = len(seeds), episodes
        self._slots = environments_per_seed(len(seeds), episodes)
        """Environments per seed."""
        self._slot_seeds: list[int] = np.repeat(np.asarray(seeds), self._slots).tolist()
        self._has_wrappers = task.engine != "jax"
        self._vector = make_vector(
            task,
            self._slot_seeds,
            "evaluate",
            action_repeat=action_repeat,
            num_workers=num_workers,
            autoreset=False,
        )
        self._may_never_end = task.horizon is None and self._vector.horizon is None

    def run(self, act: Callable[[np.ndarray], np.ndarray], has_success: bool = False) -> EvaluationResult:
        """Run all episodes.

        Args:
            act: Maps observations [S, L, O] to actions [S, L, A] in [-1, 1].
            has_success: Whether success was reported before. An environment may report it only where it is reached, so
                that no report is no success.
        """
        waves = [self._wave(first, act) for first in range(0, self._episodes, self._slots)]
        merged: dict[str, Any] = {
            name: np.concatenate([w[name] for w in waves], axis=1)[:, : self._episodes] for name in waves[0]
        }
        if not (has_success | merged.pop("reports_success").any()):
            merged |= dict.fromkeys(("success_any", "success_last", "first_success"))
        return EvaluationResult(**merged)

    @property
    def vector(self) -> VectorEnv:
        """The environments, L for each seed. Every evaluation resets them first, so they may be used in between."""
        return self._vector

    def close(self) -> None:
        """Close the environments."""
        self._vector.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _check_end(self, endless: np.ndarray) -> None:
        if endless.any():
            raise EnvironmentFailure(
                self._slot_seeds[int(np.argmax(endless))],
                f"an evaluation episode has not ended after {_MAX_EPISODE_STEPS:,} env steps: give the environment "
                + (
                    "a time limit, such as gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)"
                    if self._has_wrappers
                    else "an attribute episode_length, such as 1000"
                ),
            )

    def _wave(self, first: int, act: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Run one episode per environment, numbered from ``first``. The last wave may run more than are needed."""
        shape = (self._num_seeds, self._slots)
        observation = self._vector.reset(np.tile(np.arange(first, first + self._slots), self._num_seeds).tolist())
        returns, lengths, first_success = (np.zeros(shape[0] * shape[1]) for _ in range(3))
        success_any, success_last, reports_success = np.zeros((3, len(returns)), bool)
        active = np.ones(len(returns), bool)
        while active.any():
            actions = act(observation.reshape(*shape, -1))
            step = self._vector.step(actions.reshape(len(returns), -1))
            returns += np.where(active, step.reward, 0.0)
            lengths += np.where(active, step.env_steps, 0)
            success_last = np.where(active, step.success, success_last)
            first_success = np.where(active & step.success & ~success_any, lengths, first_success)
            success_any |= active & step.success
            reports_success |= active & step.reports_success
            active = active & ~step.ended
            if self._may_never_end:
                self._check_end(active & (lengths >= _MAX_EPISODE_STEPS))
            observation = step.observation
        results = {
            "returns": returns,
            "lengths": lengths.astype(np.int64),
            "success_any": success_any,
            "success_last": success_last,
            "first_success": first_success.astype(np.int64),
            "reports_success": reports_success,
        }
        return {name: value.reshape(shape) for name, value in results.items()}
