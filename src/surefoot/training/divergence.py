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

    def note(self, diverged: np.ndarray, env_steps: int) -> None:
        """Take note of the seeds [S] whose policy is not finite any more.

        Raises:
            EnvironmentFailure: no other seed is left.
        """
        for i in np.flatnonzero(diverged & ~self.lost):
            self._message(
                f"seed {self._seeds[i]} diverged at env step {env_steps:,}: its policy is not finite any more; it "
                "takes zero actions from here on, and its evaluations are NaN"
            )
        self.lost |= diverged
        if self.lost.all():
            raise EnvironmentFailure(self._seeds[0], "the policy is not finite any more, and no other seed is left")

    def silence(self, action: np.ndarray, env_steps: int) -> np.ndarray:
        """Return the actions [S, ...], in which the seeds that are lost now have zeros.

        Raises:
            EnvironmentFailure: no other seed is left.
        """
        self.note(not_finite(action), env_steps)
        action[self.lost] = 0.0
        return action


def not_finite(action: np.ndarray) -> np.ndarray:
    """Return of which seeds an action [S, ...] is not finite, [S] bool."""
    return ~np.isfinite(action.reshape(len(action), -1)).all(axis=1)
