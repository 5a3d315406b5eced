"""Acting with a saved policy in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import UserError
from surefoot.policy.network import build, build_dense, build_std
from surefoot.policy.spec import PolicySpec, bounds_inside


class Policy:
    """One seed's policy. Made by `load_policy`.

    Attributes:
        observation_size: Length O of a flat observation.
        action_size: Length A of an action.
        action_low: Lower bounds [A] in the environment's own units, float32.
        action_high: Upper bounds [A] in the environment's own units, float32.
        observation_keys: Keys of a Dict observation in the order they are flattened, None for a flat one.
        task: Name of the task it was trained on.
        algorithm: Name of the algorithm.
        seed: Training seed.
        env_steps: Simulator control steps it was trained for.
        score: Score at the last evaluation, None without one.
    """

    def __init__(self, spec: PolicySpec, arrays: Mapping[str, np.ndarray], index: int) -> None:
        """Take the seed at `index` on the leading axis of validated arrays."""
        self.observation_size = spec.observation_size
        self.action_size = spec.action_size
        self.observation_keys = spec.observation_keys
        self.action_low, self.action_high = bounds_inside(spec.action_low, spec.action_high)
        self.task = spec.task
        self.algorithm = spec.algorithm
        self.seed = spec.seeds[index]
        self.env_steps = spec.env_steps
        self.score = spec.scores[index]
        own = {name: array[index].astype(np.float32) for name, array in arrays.items()}
        head = spec.layers[-1]
        self._body = build(spec.layers[:-1], own)
        self._mean = build_dense(head["mean"], own)
        self._std = build_std(head, own)
        self._half_span = np.float32(0.5) * (self.action_high - self.action_low)
        self.reseed(self.seed)

    def reseed(self, seed: int) -> None:
        """Reset the generator of stochastic actions; a loaded policy starts with its training seed."""
        self._rng = np.random.default_rng(seed)

    def __call__(self, obs: ArrayLike | Mapping[str, ArrayLike], deterministic: bool = True) -> np.ndarray:
        """Choose an action.

        Args:
            obs: Observation [O] or batch [B, O]; or a dict of arrays, of one observation or with a leading axis B
                each, where the policy was trained on a Dict space.
            deterministic: Whether to return the mode, tanh(mean), instead of a sample; a policy without a density has
                only the mode.

        Returns:
            The action [A] or actions [B, A] in the environment's own units and within its bounds, float32.

        Raises:
            UserError: The observation has another shape or other keys, contains NaN or infinity, or makes the network
                overflow.
        """
        flat = self._flatten(obs)
        with np.errstate(over="ignore", invalid="ignore"):  # an action of NaN is an error
            hidden = self._body(np.atleast_2d(flat))
            action = self._mean(hidden)
            if not deterministic and self._std is not None:
                noise = self._rng.standard_normal(action.shape, dtype=np.float32)
                action = action + self._std(hidden) * noise
        if np.isnan(action).any():
            raise UserError("observation is too far from those of training: the policy's activations overflow")
        scaled = self.action_low + self._half_span * (np.tanh(action) + np.float32(1))
        bounded = np.clip(scaled, self.action_low, self.action_high)
        return bounded if flat.ndim == 2 else bounded[0]

    def predict(
        self,
        obs: ArrayLike | Mapping[str, ArrayLike],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Choose an action through the signature of Stable-Baselines3.

        Args:
            obs: As in a call.
            state: Returned as it is; the policy has no memory.
            episode_start: Ignored, for the same reason.
            deterministic: As in a call; note that the default of Stable-Baselines3 is False.

        Returns:
            The action and `state`.

        Raises:
            UserError: As in a call.
        """
        return self(obs, deterministic), state

    def _flatten(self, obs: ArrayLike | Mapping[str, ArrayLike]) -> np.ndarray:
        """Return a finite float32 observation [O] or [B, O]."""
        if isinstance(obs, Mapping):
            flat = self._flatten_dict(obs)
        else:
            flat = _as_float32(obs)
            if flat.ndim not in (1, 2) or flat.shape[-1] != self.observation_size:
                size = self.observation_size
                raise UserError(f"observation has shape {flat.shape}, expected ({size},) or (batch, {size})")
        if not np.isfinite(flat).all():
            raise UserError("observation contains NaN or a number that is infinite in float32")
        return flat

    def _flatten_dict(self, obs: Mapping[str, ArrayLike]) -> np.ndarray:
        if self.observation_keys is None:
            raise UserError(f"observation is a dict, expected an array of shape ({self.observation_size},)")
        if set(obs) != set(self.observation_keys):
            got = ", ".join(map(str, obs)) or "none"
            raise UserError(f"observation has the keys {got}, expected {', '.join(self.observation_keys)}")
        parts = [_as_float32(obs[key]) for key in self.observation_keys]
        size = sum(part.size for part in parts)
        leading = {part.shape[0] if part.ndim else None for part in parts}
        batch = leading.pop() if len(leading) == 1 else None
        # A leading axis of 1 on every part, followed by more axes, is a batch of one observation.
        single = size == self.observation_size and not (batch == 1 and all(part.ndim > 1 for part in parts))
        if single:
            return np.concatenate([part.reshape(-1) for part in parts])
        if batch is None or size != batch * self.observation_size:
            shapes = ", ".join(f"{key}: {part.shape}" for key, part in zip(self.observation_keys, parts, strict=True))
            raise UserError(f"observation has shapes {shapes}, expected {self.observation_size} numbers in all")
        return np.concatenate([part.reshape(batch, part.size // max(batch, 1)) for part in parts], axis=1)


def _as_float32(value: ArrayLike) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # an infinite observation is an error
            return np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"observation is not an array of numbers: {error}") from error
