"""Seeds whose networks are no longer finite."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from surefoot.errors import EnvironmentFailure


class Divergence:
    """Replaces the actions of seeds with non-finite policies by zeros; the other seeds continue.

    Args:
        seeds: Training seeds, S of them.
        diverged: [S] bool, the seeds that have diverged; updated in place.
        message: Called with one line for each seed that diverges.
    """

    def __init__(self, seeds: Sequence[int], diverged: np.ndarray, message: Callable[[str], None]) -> None:
        self._seeds, self._message, self._reported = tuple(seeds), message, set[int]()
        self.diverged = diverged

    def fork(self) -> Self:
        """Return a copy for an evaluation, whose findings do not affect training; seeds are reported once."""
        forked = copy.copy(self)
        forked.diverged = self.diverged.copy()
        return forked

    def zero_diverged(self, action: np.ndarray, env_steps: int) -> np.ndarray:
        """Return the actions [S, ...] with zeros for the seeds that diverged.

        Raises:
            EnvironmentFailure: All seeds diverged.
        """
        rows = action.reshape(len(action), -1)
        self.diverged |= ~np.isfinite(rows).all(axis=1)
        for i in sorted(set(np.flatnonzero(self.diverged).tolist()) - self._reported):
            self._reported.add(i)
            self._message(
                f"seed {self._seeds[i]} diverged at env step {env_steps:,}: its policy is not finite; "
                "its actions are set to zero and its evaluations to NaN"
            )
        if self.diverged.all():
            raise EnvironmentFailure(self._seeds[0], "the policy is not finite, and no other seed is left")
        rows[self.diverged] = 0.0
        return rows.reshape(action.shape)
