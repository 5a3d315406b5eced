"""Seeds whose networks are not finite any more: told once, silenced, and left behind by the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surefoot.errors import EnvironmentFailure


class TellOnce:
    """Passes on the first line about each seed.

    Args:
        message: takes it.
    """

    def __init__(self, message: Callable[[str], None]) -> None:
        self._message, self._told = message, set[int]()

    def __call__(self, index: int, line: str) -> None:
        """Pass on a line about seed number ``index``, if it is the first."""
        if index not in self._told:
            self._told.add(index)
            self._message(line)


class Divergence:
    """Keeps non-finite actions away from the environments.

    A seed that diverged is lost, but shares nothing with the others: they go on.

    Args:
        seeds: the S training seeds.
        tell: takes the number, from 0 to S - 1, of each seed that is lost, and one line.
        lost: [S] bool, those that are lost already.

    Attributes:
        lost: [S] bool, the seeds that diverged.
    """

    def __init__(self, seeds: Sequence[int], tell: Callable[[int, str], None], lost: np.ndarray | None = None) -> None:
        self._seeds, self._tell = tuple(seeds), tell
        self.lost = np.zeros(len(self._seeds), bool) if lost is None else lost.copy()

    def silence(self, action: np.ndarray, env_steps: int) -> np.ndarray:
        """Return the actions [S, ...] with zeros for the seeds that are lost.

        Raises:
            EnvironmentFailure: no other seed is left.
        """
        rows = action.reshape(len(action), -1)
        diverged = ~np.isfinite(rows).all(axis=1)
        for i in np.flatnonzero(diverged & ~self.lost).tolist():
            self._tell(
                i,
                f"seed {self._seeds[i]} diverged at env step {env_steps:,}: its policy is not finite any more; "
                "its actions become zero, and its evaluations NaN",
            )
        self.lost |= diverged
        if self.lost.all():
            raise EnvironmentFailure(self._seeds[0], "the policy is not finite any more, and no other seed is left")
        rows[self.lost] = 0.0
        return rows.reshape(action.shape)
