"""A healthy environment and variants with one fault each, for test_check.py."""

from __future__ import annotations

import os
import threading
from typing import Any, ClassVar, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Tuple


class Healthy(gymnasium.Env):
    """A point moved by the action; episodes terminate far from the origin and truncate after `limit` steps."""

    limit: ClassVar[int] = 25
    far: ClassVar[float] = 1.2

    def __init__(self) -> None:
        self.observation_space = Box(-10.0, 10.0, (2,), np.float32)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.time = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        self.place = self.start()
        return self.observe(), {}

    def step(self, action: np.ndarray) -> Any:
        self.time += 1
        self.place = self.move(action)
        return self.observe(), self.reward(), *self.ends(), {}

    def start(self) -> np.ndarray:
        return self.np_random.uniform(-1.0, 1.0, 2)

    def move(self, action: np.ndarray) -> np.ndarray:
        return 0.9 * self.place + 0.3 * action

    def observe(self) -> Any:
        return self.place.astype(np.float32)

    def reward(self) -> Any:
        return -float(np.sum(self.place**2))

    def ends(self) -> Any:
        terminated = bool(np.linalg.norm(self.place) > self.far)
        return terminated, not terminated and self.time >= self.limit


def with_spaces(observation: gymnasium.Space | None = None, action: gymnasium.Space | None = None) -> type[Healthy]:
    class WithSpaces(Healthy):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = observation or self.observation_space
            self.action_space = action or self.action_space

        def move(self, action: np.ndarray) -> np.ndarray:
            largest = np.max(cast(Box, self.action_space).high)
            return super().move(action / (largest if np.isfinite(largest) else 1.0))

    return WithSpaces


def normalises_observations() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(gymnasium.wrappers.NormalizeObservation(Healthy()), 30)


def normalises_rewards() -> gymnasium.Env:
    return gymnasium.wrappers.NormalizeReward(Healthy())


class HasItsOwnStatistics(Healthy):
    """Normalises as wrappers copied from Gymnasium do."""

    def __init__(self) -> None:
        super().__init__()
        self.obs_rms = gymnasium.wrappers.utils.RunningMeanStd(shape=(2,))


class ObservesParts(with_spaces(Dict(place=Box(-10, 10, (2,)), size=Box(0, 10, ())))):
    def observe(self) -> Any:
        return {"place": super().observe(), "size": np.float32(np.linalg.norm(self.place))}


class MissesAPart(ObservesParts):
    def observe(self) -> Any:
        return {"place": self.place.astype(np.float32)}


class HasAnExtraPart(ObservesParts):
    def observe(self) -> Any:
        return {**super().observe(), "colour": 3}


class ObservesNestedParts(with_spaces(Dict(parts=Tuple([Box(-10, 10, (2,)), Dict(size=Box(0, 10, ()))])))):
    def observe(self) -> Any:
        return {"parts": (super().observe(), {"size": np.float32(np.linalg.norm(self.place))})}


class ObservesPixels(with_spaces(Box(0, 255, (4, 4, 3), np.uint8))):
    def observe(self) -> Any:
        return np.full((4, 4, 3), 100 + 20 * self.place[0], np.uint8)


class ChangesItsSpace(Healthy):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        returned = super().reset(seed=seed)
        self.observation_space = Box(-10.0, 10.0 + seed % 2, (2,), np.float32)
        return returned


class ResetReturnsObservationOnly(Healthy):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class StepReturnsFour(Healthy):
    def step(self, action: np.ndarray) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, info


class ReturnsLists(Healthy):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return [super().reset(seed=seed)[0], None]

    def step(self, action: np.ndarray) -> Any:
        return [*super().step(action)[:4], None]


class TakesNoSeed(Healthy):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class TakesNoOptions(Healthy):
    def reset(self, *, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class Raises(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        if self.time == 3:
            raise ValueError("the third step\nbreaks")
        return super().move(action)


class RaisesAtTheBounds(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        assert (np.abs(action) < 1.0).all(), "torque out of range"
        return super().move(action)


class ObservesTooLittle(Healthy):
    def observe(self) -> Any:
        return super().observe()[:1]


class ObservesNothing(Healthy):
    """Gymnasium's own check of a Tuple fails here."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Tuple((Box(-10.0, 10.0, (2,), np.float32),))

    def observe(self) -> Any:
        return None


class ObservesText(Healthy):
    def observe(self) -> Any:
        return "here"


class ObservesNan(Healthy):
    def observe(self) -> Any:
        return np.array([self.place[0], np.nan if self.time == 4 else 0.1], np.float32)


class ObservesAboveFloat32(with_spaces(Box(-np.inf, np.inf, (2,), np.float64))):
    def observe(self) -> Any:
        return self.place * 1e300


class ObservesOutsideItsSpace(with_spaces(Box(-0.1, 0.1, (2,)))):
    pass


class ObservesAColumn(Healthy):
    def observe(self) -> Any:
        return super().observe()[:, None]


class ObservesFloat64(Healthy):
    def observe(self) -> Any:
        return self.place


class ObservesComplexNumbers(Healthy):
    def observe(self) -> Any:
        return super().observe() + 1j


class ObservesIntegers(with_spaces(Box(-100, 100, (2,), np.int64))):
    def observe(self) -> Any:
        return np.rint(20 * self.place).astype(np.int64)


class ObservesTheTimeOfDay(with_spaces(Box(-np.inf, np.inf, (2,), np.float64))):
    def observe(self) -> Any:
        return np.array([self.place[0], 1.7e9 + 1000.0 * self.place[1]])


class ObservesAConstant(Healthy):
    def observe(self) -> Any:
        return np.array([self.place[0], 0.5], np.float32)


class ObservesOnlyTheStart(Healthy):
    def observe(self) -> Any:
        if self.time == 0:
            self.first = super().observe()
        return self.first.copy()


class SharesItsBuffer(Healthy):
    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.zeros(2, np.float32)

    def observe(self) -> Any:
        self.buffer[:] = self.place
        return self.buffer


class ArrayReward(Healthy):
    def reward(self) -> Any:
        return self.place


class NoReward(Healthy):
    def reward(self) -> Any:
        return None


class InfiniteReward(Healthy):
    def reward(self) -> Any:
        return float("inf") if self.time == 4 else 0.0


class EndsWithNone(Healthy):
    def ends(self) -> Any:
        return super().ends()[0], None if self.time < self.limit else True


class EndsWithAnArray(Healthy):
    def ends(self) -> Any:
        return np.array(super().ends()), False


class NeverEnds(Healthy):
    limit, far = 10**9, 10.0


class OnlyTruncates(Healthy):
    far = 10.0


class TerminatesAndTruncates(OnlyTruncates):
    def ends(self) -> Any:
        return self.time >= self.limit, self.time >= self.limit


class TimeLimitTerminates(OnlyTruncates):
    limit = 60

    def ends(self) -> Any:
        return self.time >= self.limit, False


class TimeLimitOrFallTerminates(Healthy):
    limit = 55
    far = 1.35

    def ends(self) -> Any:
        terminated, truncated = super().ends()
        return terminated or truncated, False


class TimeLimitSetsBoth(TimeLimitOrFallTerminates):
    def ends(self) -> Any:
        terminated, _ = super().ends()
        return terminated, self.time >= self.limit


class AlwaysEndsEarly(TimeLimitTerminates):
    limit = 12


class EndsEarly(Healthy):
    """Terminates early, often after the same number of steps, which is not a fault."""

    far = 0.6


class ObservableTimeLimitTerminates(TimeLimitTerminates):
    """Terminates at an observed time, so that values can be learned."""

    def observe(self) -> Any:
        return np.array([self.place[0], self.time / self.limit], np.float32)


class Autoresets(Healthy):
    def step(self, action: np.ndarray) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            self.time, self.place = 0, self.start()
            info["final_obs"], observation = observation, self.observe()
        return observation, reward, terminated, truncated, info


class StepAfterEndChangesState(Healthy):
    over, spoiled = False, 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.over = False
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> Any:
        self.spoiled += 0.1 * self.over
        returned = super().step(action)
        self.over = returned[2] or returned[3]
        return returned

    def start(self) -> np.ndarray:
        return super().start() + self.spoiled


class LargeRewards(Healthy):
    def reward(self) -> Any:
        return 1e5 * super().reward()


class SmallRewards(Healthy):
    def reward(self) -> Any:
        return 1e-5 * super().reward()


class ConstantReward(Healthy):
    def reward(self) -> Any:
        return 1.0


class ZeroReward(OnlyTruncates):
    def reward(self) -> Any:
        return 0.0


class IgnoresItsSeed(Healthy):
    def start(self) -> np.ndarray:
        return np.random.default_rng().uniform(-1.0, 1.0, 2)


class FixedStart(Healthy):
    def start(self) -> np.ndarray:
        return np.array([0.3, -0.2])


class UnseededNoise(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        return super().move(action) + 1e-3 * np.random.default_rng().standard_normal(2)


class IncompleteReset(Healthy):
    wear = 0.0

    def move(self, action: np.ndarray) -> np.ndarray:
        self.wear += 1e-3
        return super().move(action) * (1.0 - self.wear)


class StateInClass(Healthy):
    where: ClassVar[dict[str, np.ndarray]] = {}

    @property
    def place(self) -> np.ndarray:
        return self.where["place"]

    @place.setter
    def place(self, value: np.ndarray) -> None:
        self.where["place"] = value


class DrawsGlobally(Healthy):
    def start(self) -> np.ndarray:
        return np.random.uniform(-1.0, 1.0, 2)  # noqa: NPY002


class SeedsGlobally(Healthy):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        np.random.seed(seed)  # noqa: NPY002
        return super().reset(seed=seed)

    def move(self, action: np.ndarray) -> np.ndarray:
        return super().move(action) + 0.1 * np.random.uniform(-1.0, 1.0, 2)  # noqa: NPY002


class DependsOnTheProcess(Healthy):
    def start(self) -> np.ndarray:
        return super().start() + os.getpid() % 1009 / 1009


class HoldsALock(Healthy):
    """As a bound method of an instance that holds a lock, its factory cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def another(self) -> Healthy:
        return HoldsALock()


class SingleCopy(Healthy):
    taken: ClassVar[bool] = False

    def __init__(self) -> None:
        if SingleCopy.taken:
            raise RuntimeError("the port is taken")
        SingleCopy.taken = True
        super().__init__()

    def close(self) -> None:
        SingleCopy.taken = False


class ScalesActionInPlace(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        action *= 0.5
        return super().move(action)


class ClipsEarly(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        return super().move(2.0 * np.clip(action, -0.4, 0.4))


class IgnoresActions(Healthy):
    def move(self, action: np.ndarray) -> np.ndarray:
        return 0.9 * self.place + 0.3 * self.np_random.uniform(-1.0, 1.0, 2)


class RaisesAndShares(Raises, StateInClass):
    """Two faults, as the following ones."""


class ArrayRewardAndTimeLimit(ArrayReward, TimeLimitTerminates):
    pass


class NanAndClippedActions(ObservesNan, ClipsEarly):
    pass


class IncompleteResetAndIgnoredActions(Healthy):
    wear = 0.0

    def move(self, action: np.ndarray) -> np.ndarray:
        self.wear += 1e-3
        return self.place * (0.9 - self.wear)


class FourValuesAndUnseeded(StepReturnsFour, IgnoresItsSeed):
    pass


class SingleUnseededCopy(SingleCopy, IgnoresItsSeed):
    pass


OBSERVES_A_CHOICE = with_spaces(Tuple([Box(-1, 1, (2,)), Discrete(3)]))
OBSERVES_NO_NUMBERS = with_spaces(Box(-1, 1, (0,)))
