"""Recorded transitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError
from surefoot.spaces import ActionSpec, EnvSpaces
from surefoot.training.warm_start.transitions import Experience, number_frames

ARRAYS = ("observations", "actions", "rewards", "next_observations", "terminated", "truncated")
"""Arrays of an .npz file of transitions."""

_TOLERANCE = 1e-4
"""Tolerance for rounding of recorded actions beyond their bounds, in units of half the action range."""


@dataclass(frozen=True)
class Dataset:
    """N recorded transitions in order, not yet checked against an environment.

    Attributes:
        name: Source of the data, for messages.
        sha256: Hexadecimal digest of the data.
        observations, next_observations: [N, O] float32.
        actions: [N, A] float32 in the environment's units.
        rewards: [N] float32.
        terminated, truncated: [N] bool.
        parts: Keys and sizes of a Dict observation in the order of concatenation; None for a flat one.
        actions_of: Shape, dtype and bounds of the actions where they were recorded; None if unknown.
    """

    name: str
    sha256: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    parts: tuple[tuple[str, int], ...] | None = None
    actions_of: ActionSpec | None = None

    def __post_init__(self) -> None:
        """Validate the arrays.

        Raises:
            UserError: There are no transitions, shapes do not match, values are not finite, or no episode ends.
        """
        length = len(self.rewards)
        if not length:
            raise UserError(f"{self.name} holds no transitions")
        for name in ARRAYS:
            array: np.ndarray = getattr(self, name)
            shape = (length,) if name in ("rewards", "terminated", "truncated") else (length, array.shape[-1])
            if array.shape != shape:
                wanted = "[N]" if len(shape) == 1 else f"[N, {'A' if name == 'actions' else 'O'}]"
                raise UserError(
                    f"{self.name}: {name} is {list(array.shape)}, expected {wanted} with N = {length}, the number of "
                    "rewards"
                )
            if len(bad := np.flatnonzero(~np.isfinite(array).reshape(length, -1).all(axis=1))):
                raise UserError(f"{self.name}: {name} of transition {bad[0]:,} is not finite")
        if self.observations.shape != self.next_observations.shape:
            raise UserError(
                f"{self.name}: observations have {self.observations.shape[1]} entries and next_observations "
                f"{self.next_observations.shape[1]}"
            )
        if not (self.terminated | self.truncated).any():
            raise UserError(
                f"{self.name}: no transition is terminated or truncated, so the ends of episodes are unknown; mark the "
                "last one of every episode (as truncated where only the recording stopped)"
            )

    def _follows(self) -> np.ndarray:
        """Return [N] whether a transition continues the previous one."""
        follows = np.zeros(len(self.rewards), bool)
        same = (self.observations[1:] == self.next_observations[:-1]).all(axis=1)
        follows[1:] = same & ~(self.terminated | self.truncated)[:-1]
        return follows

    def sequences(self, num_envs: int = 1) -> int:
        """Return the number of unbroken sequences of transitions, for the environment with the most.

        Args:
            num_envs: Environments to which the transitions are dealt out in equal parts; see ``Experience.dealt``.
        """
        starts = ~self._follows()
        parts = starts[len(starts) % num_envs :].reshape(num_envs, -1)
        parts[:, :1] = True
        return int(parts.sum(axis=1).max())

    def action_difference(self, spaces: EnvSpaces) -> str | None:
        """Return one line with the first difference between the actions as recorded and an environment's, or None.

        Recorded actions are in the environment's units, so their meaning stays where only bounds or dtype differ.
        """
        if self.actions_of is None:
            return None
        if (different := self.actions_of.difference(spaces.action)) is None:
            return None
        what, there, here = different
        return f"{self.name} was recorded with {what} {there}; the environment has {here}"

    def fit(self, spaces: EnvSpaces) -> Experience:
        """Return the transitions for an environment with `spaces`, as those of one seed.

        Raises:
            UserError: Sizes or keys differ, actions are outside the bounds, or observations are not of uint8 where
                those of the environment are.
        """
        columns = self._columns(spaces)
        frame_of = number_frames(self._follows())
        frames = np.zeros((int(frame_of[-1]) + 2, spaces.observation_size), np.float32)
        frames[frame_of], frames[frame_of + 1] = self.observations[:, columns], self.next_observations[:, columns]
        if (reason := spaces.unstorable(frames)) is not None:
            raise UserError(f"{self.name}: an observation {reason}")
        return Experience(
            actions=self._unit_actions(spaces.action)[None],
            rewards=self.rewards[None],
            terminated=self.terminated[None],
            frame_of=frame_of[None],
            frames=(frames,),
        )

    def _columns(self, spaces: EnvSpaces) -> np.ndarray:
        """Return the column in the data of each entry of the environment's observation."""
        size, keys = self.observations.shape[1], spaces.observation_keys
        if size != spaces.observation_size:
            raise UserError(
                f"{self.name}: observations have {size} entries, those of the environment {spaces.observation_size}"
            )
        if keys is None or self.parts is None:
            return np.arange(size)
        starts = np.cumsum([0, *(width for _, width in self.parts)])
        places = {key: np.arange(starts[i], starts[i + 1]) for i, (key, _) in enumerate(self.parts)}
        if places.keys() != set(keys):
            raise UserError(f"{self.name}: observations have the keys {sorted(places)}, expected {sorted(keys)}")
        for part in spaces.observation:
            if part.key is not None and (found := len(places[part.key])) != part.size:
                raise UserError(
                    f"{self.name}: observation {part.key!r} has {found} entries, that of the environment {part.size}"
                )
        return np.concatenate([places[key] for key in keys])

    def _unit_actions(self, spec: ActionSpec) -> np.ndarray:
        """Return the actions [N, A] mapped to [-1, 1]."""
        if self.actions.shape[1] != spec.size:
            raise UserError(
                f"{self.name}: actions have {self.actions.shape[1]} entries, those of the environment {spec.size}"
            )
        outside = spec.outside(self.actions, _TOLERANCE)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise UserError(
                f"{self.name}: entry {column} of action {row:,} is {self.actions[row, column]:g}, outside the "
                f"environment's bounds {spec.low[column]:g} to {spec.high[column]:g}"
            )
        return spec.to_unit(self.actions)
