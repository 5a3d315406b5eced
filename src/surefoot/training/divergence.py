"""Seeds whose networks are not finite any more: told once, silenced, and left behind by the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surefoot.errors import EnvironmentFailure


class Divergence:
    """Keeps non-finite actions away from the environments.

    A seed that diverged is lost, but shares nothing with the others: they go on.

    Args:
        seeds: the S training seeds.
        message: takes one line for each seed that is lost.

    Attributes:
        lost: [S] bool, the seeds that diverged.
    """

    def __init__(self, seeds: Sequence[int], message: Callable[[str], None]) -> None:
        self._seeds, self._message = tuple(seeds), message
        self.lost = np.zeros(len(self._seeds), bool)

    def silence(self, action: np.ndarray, env_steps: int) -> np.ndarray:
        """Return the actions [S, ...] with zeros for the seeds that are lost.

        Raises:
            EnvironmentFailure: no other seed is left.
        """
        rows = action.reshape(len(action), -1)
        diverged = ~np.isfinite(rows).all(axis=1)
        for i in np.flatnonzero(diverged & ~self.lost):
            self._message(
                f"seed {self._seeds[i]} diverged at env step {env_steps:,}: its policy is not finite any more; it "
                "takes zero actions from here on, and its evaluations are NaN"
            )
        self.lost |= diverged
        if self.lost.all():
            raise EnvironmentFailure(self._seeds[0], "the policy is not finite any more, and no other seed is left")
        rows[self.lost] = 0.0
        return rows.reshape(action.shape)
