"""Acting with a saved policy in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import UserError
from surefoot.policy.network import build, build_dense, build_std, layer_widths
from surefoot.policy.spec import PolicySpec

type Observation = ArrayLike | Mapping[str, Any] | tuple[Any, ...]
"""An array, or a dict or tuple of observations."""


class Policy:
    """One seed's policy. Made by `load_policy`.

    Attributes:
        spaces: Observations and actions of the environment: shapes, dtypes, keys and bounds.
        observation_size: Length O of a flat observation.
        action_size: Number A of entries of an action.
        action_low: Lower bounds, in the shape and dtype of an action.
        action_high: Upper bounds, likewise.
        observation_keys: Keys of a Dict or Tuple observation in the order they are flattened, None for one array.
        task: Name of the task it was trained on.
        algorithm: Name of the algorithm.
        seed: Training seed.
        env_steps: Simulator control steps it was trained for.
        score: Score at the last evaluation, None without one.
    """

    def __init__(self, spec: PolicySpec, arrays: Mapping[str, np.ndarray], index: int) -> None:
        """Take the seed at `index` on the leading axis of validated arrays."""
        self.spaces = spec.spaces
        self.observation_size = spec.spaces.observation_size
        self.action_size = spec.spaces.action.size
        self.observation_keys = spec.spaces.observation_keys
        self.action_low, self.action_high = spec.spaces.action.low_array, spec.spaces.action.high_array
        self.task = spec.task
        self.algorithm = spec.algorithm
        self.seed = spec.seeds[index]
        self.env_steps = spec.env_steps
        self.score = spec.scores[index]
        own = {name: array[index].astype(np.float32) for name, array in arrays.items()}
        head = spec.layers[-1]
        self._seeds = spec.seeds
        widths = [self.observation_size, *layer_widths(spec.layers[:-1], own), self.action_size]
        self._layers = "-".join(map(str, widths))
        self._num_parameters = sum(a.size for name, a in own.items() if not name.endswith(("/mean", "/var")))
        self._body = build(spec.layers[:-1], own)
        self._mean = build_dense(head["mean"], own)
        self._std = build_std(head, own)
        self.reseed(self.seed)

    def __repr__(self) -> str:
        others = f" of {self._seeds}" if len(self._seeds) > 1 else ""
        score = "" if self.score is None else f", score={self.score:.4g}"
        action = self.spaces.action
        return (
            f"Policy(task={self.task!r}, algorithm={self.algorithm!r}, seed={self.seed}{others}, "
            f"env_steps={self.env_steps:,}{score}, observation={self.spaces.observation_text}, "
            f"action={action.shape} {action.dtype}, layers={self._layers}, parameters={self._num_parameters:,})"
        )

    def reseed(self, seed: int) -> None:
        """Reset the generator of stochastic actions; a loaded policy starts with its training seed."""
        self._rng = np.random.default_rng(seed)

    def __call__(self, obs: Observation, deterministic: bool = True) -> np.ndarray:
        """Choose an action.

        Args:
            obs: One observation as the environment returns it: an array in the shape of its space, or a dict or tuple
                for a Dict or Tuple space. What its space does not name is ignored. A flat one, [O], is accepted
                as well.
            deterministic: Whether to return the mode, tanh(mean), instead of a sample; a policy without a density has
                only the mode.

        Returns:
            The action in the environment's own units, shape and dtype and within its bounds.

        Raises:
            UserError: The observation has another shape or lacks a key, contains NaN or infinity, or makes the network
                overflow.
        """
        rows = self.spaces.to_rows(obs, "observation", advice="; policy.batch takes several observations")
        return self.spaces.action.from_unit(self.unit_action(rows, deterministic)[0])

    def batch(self, observations: Observation, deterministic: bool = True) -> np.ndarray:
        """Choose an action for each of B observations.

        Args:
            observations: As in a call, with one more leading axis B on every array, as Gymnasium's vector environments
                return them.
            deterministic: As in a call.

        Returns:
            As a call, with a leading axis B.

        Raises:
            UserError: As in a call.
        """
        rows = self.spaces.to_rows(observations, "observations", batched=True)
        return self.spaces.action.from_unit(self.unit_action(rows, deterministic))

    def unit_action(self, observation: np.ndarray, deterministic: bool = True) -> np.ndarray:
        """Return actions [B, A] in [-1, 1], as in training, for flat float32 observations [B, O].

        Args:
            observation: Flat observations, finite.
            deterministic: As in a call.

        Raises:
            UserError: The network overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # an action of NaN is an error
            hidden = self._body(observation)
            action = self._mean(hidden)
            if not deterministic and self._std is not None:
                noise = self._rng.standard_normal(action.shape, dtype=np.float32)
                action = action + self._std(hidden) * noise
        if np.isnan(action).any():
            raise UserError("observation is too far from those of training: the policy's activations overflow")
        return np.tanh(action)

    def predict(
        self,
        obs: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Choose an action through the signature of Stable-Baselines3, for one observation.

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
