"""Small environments with known values or faults: callables for `get_task`, importable by workers."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

EPISODE_STEPS = 3


class Counter(gymnasium.Env):
    """Observation [step, first] with `first` drawn per episode; reward = step; one buffer for all observations.

    Episodes end after `EPISODE_STEPS` steps: by termination, or by truncation.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, truncates: bool = False, on_step: Callable[[Counter], None] | None = None) -> None:
        self.buffer = np.zeros(2)
        self.reward: float | None = None
        self._truncates = truncates
        self._on_step = on_step

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.buffer[:] = 0.0, self.np_random.uniform()
        return self.buffer, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.buffer[0] += 1.0
        reward = self.buffer[0]
        if self._on_step is not None and self.buffer[0] == 2.0:
            self._on_step(self)
            reward = reward if self.reward is None else self.reward
        ended = self.buffer[0] >= EPISODE_STEPS
        return self.buffer, reward, bool(ended and not self._truncates), bool(ended and self._truncates), {}


def terminating() -> Counter:
    return Counter()


def truncating() -> Counter:
    return Counter(truncates=True)


def failing(on_step: Callable[[Counter], None]) -> Callable[[], Counter]:
    """Make a callable whose environment calls `on_step` in the second step of every episode."""
    return functools.partial(Counter, False, on_step)


def raises(env: Counter) -> None:
    raise ValueError("the second step\nfails")


def exits(env: Counter) -> None:
    sys.exit(0)


def makes_observation_nan(env: Counter) -> None:
    env.buffer[1] = np.nan


def makes_reward_infinite(env: Counter) -> None:
    env.reward = np.inf


def dies(env: Counter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_with_a_copy_left(env: Counter) -> None:
    """A copy of the process, which prints its id, lives on with every descriptor of the original."""
    if copy := os.fork():
        print(copy, file=sys.stderr, flush=True)
        dies(env)
    time.sleep(60)


def hangs(env: Counter) -> None:
    time.sleep(3600)


def hangs_with_a_program(path: str, env: Counter) -> None:
    """Start a program, whose process id the file gets, and never return."""
    Path(path).write_text(str(subprocess.Popen(["sleep", "3600"]).pid))
    time.sleep(3600)


def exits_while_a_thread_runs(env: Counter) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()
    sys.exit(3)


def closes_everything(env: Counter) -> None:
    """Close every descriptor but the standard ones, and hang."""
    os.closerange(3, 256)
    time.sleep(60)


def raising_when_made() -> gymnasium.Env:
    raise RuntimeError("no such robot")


class _NanOnReset(Counter):
    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.buffer[1] = np.nan
        return self.buffer, {}


def nan_on_reset() -> gymnasium.Env:
    return _NanOnReset()


class WrongSize(Counter):
    """Observation space of `declared` numbers, but observations of `on_reset` and `on_step` numbers."""

    def __init__(self, declared: int, on_reset: int, on_step: int) -> None:
        super().__init__()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (declared,))
        self._on_reset_size, self._on_step_size = on_reset, on_step

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        return np.zeros(self._on_reset_size), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(self._on_step_size), 0.0, False, False, {}


class RaisesOnClose(Counter):
    closed = 0

    def close(self) -> None:
        RaisesOnClose.closed += 1
        raise RuntimeError("the simulator is gone")


class Echo(gymnasium.Env):
    """Reward 1; the observation is the action. Never ends."""

    def __init__(self, action_space: gymnasium.Space, observation_space: gymnasium.Space | None = None) -> None:
        self.action_space = action_space
        self.observation_space = observation_space or gymnasium.spaces.Box(-np.inf, np.inf, action_space.shape)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        return action, 1.0, False, False, {}


class DictObservations(Counter):
    """Keys not in alphabetical order, a scalar, and a matrix."""

    observation_space: Any = gymnasium.spaces.Dict(
        [
            ("z", gymnasium.spaces.Box(-1.0, 1.0, (2, 2))),
            ("a", gymnasium.spaces.Box(-1.0, 1.0, ())),
            ("m", gymnasium.spaces.Box(-1.0, 1.0, (1,))),
        ]
    )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return {"a": 5.0, "m": np.array([6.0]), "z": np.array([[1.0, 2.0], [3.0, 4.0]])}, {}


class Census(gymnasium.Env):
    """Observation: [JAX imported, OMP_NUM_THREADS, process id, parent's id] of the process that steps it."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        threads = float(os.environ.get("OMP_NUM_THREADS", "nan"))
        return np.array([float("jax" in sys.modules), threads, os.getpid(), os.getppid()]), {}


def census() -> Census:
    return Census()
