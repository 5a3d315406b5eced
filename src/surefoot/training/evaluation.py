"""From a policy to episodes to scores, on environments of its own.

Evaluation episode e of training seed s starts the same way every time: its seed follows from (task, s, e). Two
checkpoints, or two algorithms, therefore meet the same episodes, and their comparison is paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from surefoot.errors import EnvironmentFailure
from surefoot.tasks import Task, VectorEnv, make_vector
from surefoot.tasks.vector import choose_workers

_MOST_LANES = 32
"""Environments that evaluate side by side; a dog's costs tens of megabytes and half a second to build."""

_LONGEST = 100_000
"""Env steps after which an episode without a declared time limit is taken for one that never ends."""


@dataclass(frozen=True)
class Episodes:
    """What evaluation episodes came to; every array is [S, E].

    Attributes:
        returns: undiscounted sums of rewards.
        lengths: environment steps.
        success_any: solved at the end of any agent step; None where the task defines no success.
        success_last: solved at the end of the last agent step; None likewise.
        first_success: environment steps up to the first solved agent step, 0 where there was none; None likewise.
    """

    returns: np.ndarray
    lengths: np.ndarray
    success_any: np.ndarray | None
    success_last: np.ndarray | None
    first_success: np.ndarray | None

    def scores(self, task: Task) -> np.ndarray:
        """Return the task's score of each episode: return or success (at any step) over the task's scale."""
        values = self.returns if self.success_any is None else self.success_any.astype(np.float64)
        return values / task.score_scale


class Evaluator:
    """Plays E episodes per seed.

    Args:
        task: what to play.
        seeds: the training seeds, S of them.
        episodes: E, per seed.
        action_repeat: environment steps per agent step; None takes the task's.
        num_workers: processes that step the environments; 0 means this one, None chooses.
        background: in worker processes that take what time others leave, one at least unless ``num_workers`` is given.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        episodes: int,
        action_repeat: int | None = None,
        num_workers: int | None = None,
        background: bool = False,
    ) -> None:
        self._num_seeds, self._episodes = len(seeds), episodes
        self._lanes = max(1, min(episodes, _MOST_LANES // len(seeds)))
        lane_seeds = np.repeat(np.asarray(seeds), self._lanes).tolist()
        self._lane_seeds, self._may_never_end = lane_seeds, task.horizon is None
        if background and num_workers is None:
            num_workers = max(1, choose_workers(len(lane_seeds)))
        self._vector = make_vector(
            task,
            lane_seeds,
            "evaluate",
            action_repeat=action_repeat,
            num_workers=num_workers,
            autoreset=False,
            background=background,
        )

    def run(self, act: Callable[[np.ndarray], np.ndarray]) -> Episodes:
        """Play all episodes; ``act`` maps observations [S, L, O] to actions [S, L, A] in [-1, 1]."""
        waves = [self._wave(first, act) for first in range(0, self._episodes, self._lanes)]
        merged: dict[str, Any] = {
            name: np.concatenate([w[name] for w in waves], axis=1)[:, : self._episodes] for name in waves[0]
        }
        if not self._vector.has_success:
            merged |= dict.fromkeys(("success_any", "success_last", "first_success"))
        return Episodes(**merged)

    @property
    def vector(self) -> VectorEnv:
        """The environments, L lanes for each seed: an evaluation begins by resetting them, so others may use them."""
        return self._vector

    def close(self) -> None:
        """End the environments."""
        self._vector.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _require_an_end(self, endless: np.ndarray) -> None:
        if endless.any():
            raise EnvironmentFailure(
                self._lane_seeds[int(np.argmax(endless))],
                f"an evaluation's episode has not ended after {_LONGEST:,} env steps: give the environment a time "
                "limit, such as gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)",
            )

    def _wave(self, first: int, act: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Play one episode per lane, from number ``first`` on. A last wave may play more than are asked for."""
        shape = (self._num_seeds, self._lanes)
        observation = self._vector.reset(np.tile(np.arange(first, first + self._lanes), self._num_seeds).tolist())
        returns, lengths, first_success = (np.zeros(shape[0] * shape[1]) for _ in range(3))
        success_any, success_last = np.zeros(len(returns), bool), np.zeros(len(returns), bool)
        active = np.ones(len(returns), bool)
        while active.any():
            actions = act(observation.reshape(*shape, -1))
            step = self._vector.step(actions.reshape(len(returns), -1))
            returns += np.where(active, step.reward, 0.0)
            lengths += np.where(active, step.env_steps, 0)
            success_last = np.where(active, step.success, success_last)
            first_success = np.where(active & step.success & ~success_any, lengths, first_success)
            success_any |= active & step.success
            active = active & ~step.ended
            if self._may_never_end:
                self._require_an_end(active & (lengths >= _LONGEST))
            observation = step.observation
        results = {
            "returns": returns,
            "lengths": lengths.astype(np.int64),
            "success_any": success_any,
            "success_last": success_last,
            "first_success": first_success.astype(np.int64),
        }
        return {name: value.reshape(shape) for name, value in results.items()}
