"""Probe environments with analytic optimal values.

Each isolates one property of a learner, in the order in which to try them: the first that fails locates the fault.
Observations are [informative, distractor]; the distractor is uniform noise, so that normalisation layers have varying
inputs. Values are discounted returns without an entropy bonus.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np


class Probe(gymnasium.Env[np.ndarray, np.ndarray]):
    """A probe: one informative number in, one action in [-1, 1] out, episodes of `episode_steps` decisions.

    Attributes:
        episode_steps: Decisions per episode.
        truncates: Whether episodes end at a time limit, where values bootstrap, instead of in a terminal state.
    """

    episode_steps: ClassVar[int] = 1
    truncates: ClassVar[bool] = False

    def __init__(self) -> None:
        """Make the probe."""
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._informative = 0.0
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self._step = 0
        self._informative = self._inform()
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one decision."""
        reward = self._reward(float(action[0]))
        self._step += 1
        self._informative = self._inform()
        ended = self._step >= self.episode_steps
        return self._observe(), reward, ended and not self.truncates, ended and self.truncates, {}

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return the values [N] of the optimal policy in `observations` [N, 2], without entropy."""
        raise NotImplementedError

    @classmethod
    def optimal_action(cls, observations: np.ndarray) -> np.ndarray | None:
        """Return the optimal actions [N, 1] in `observations` [N, 2], or None if all actions are equal."""
        return None

    def _inform(self) -> float:
        return 0.0

    def _reward(self, action: float) -> float:
        return 1.0

    def _observe(self) -> np.ndarray:
        return np.array([self._informative, self.np_random.uniform(-1.0, 1.0)], np.float32)


class ConstantProbe(Probe):
    """One step, reward 1: the value is 1. Tests the critic's loss and optimiser."""

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return 1 everywhere."""
        return np.ones(len(observations))


class ObservationProbe(Probe):
    """One step, the reward is the observation's first entry, drawn from [-1, 1]. Tests the critic's inputs."""

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return the informative entry."""
        return observations[:, 0].astype(np.float64)

    def _inform(self) -> float:
        return float(self.np_random.uniform(-1.0, 1.0)) if self._step == 0 else self._informative

    def _reward(self, action: float) -> float:
        # Rounded to float32, as in the observation.
        return float(np.float32(self._informative))


class DiscountProbe(Probe):
    """Two steps, observed as -1 and then 1, reward 1 at the end. Tests bootstrapping and the discount."""

    episode_steps = 2

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return the discount in the first step, 1 in the second."""
        return np.where(observations[:, 0] < 0.0, discount, 1.0)

    def _inform(self) -> float:
        return -1.0 if self._step == 0 else 1.0

    def _reward(self, action: float) -> float:
        return float(self._step == 1)


class ActionProbe(ObservationProbe):
    """One step, reward -(action - 0.5 x observation)^2. Tests the actor's update."""

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return 0 everywhere."""
        return np.zeros(len(observations))

    @classmethod
    def optimal_action(cls, observations: np.ndarray) -> np.ndarray:
        """Return half the informative entry."""
        return 0.5 * observations[:, :1]

    def _reward(self, action: float) -> float:
        return -((action - 0.5 * self._informative) ** 2)


class TruncationProbe(Probe):
    """Ten steps of reward 1, then a time limit. Tests that values bootstrap over it."""

    episode_steps = 10
    truncates = True

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return 1 / (1 - discount) everywhere."""
        return np.full(len(observations), 1.0 / (1.0 - discount))


class TerminationProbe(Probe):
    """Ten steps of reward 1, then a terminal state; the observation counts the steps. Tests that it has value 0."""

    episode_steps = 10

    @classmethod
    def optimal_value(cls, observations: np.ndarray, discount: float) -> np.ndarray:
        """Return (1 - discount^n) / (1 - discount) with n steps left."""
        step = np.rint((observations[:, 0] + 1.0) / 2.0 * cls.episode_steps)
        return (1.0 - discount ** (cls.episode_steps - step)) / (1.0 - discount)

    def _inform(self) -> float:
        return 2.0 * self._step / self.episode_steps - 1.0


PROBES: dict[str, type[Probe]] = {
    "probe-constant": ConstantProbe,
    "probe-observation": ObservationProbe,
    "probe-discount": DiscountProbe,
    "probe-action": ActionProbe,
    "probe-truncation": TruncationProbe,
    "probe-termination": TerminationProbe,
}
"""Every probe by its task name."""
