"""One copy of the environment under examination: every call is watched, and what is odd is noted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import gymnasium
import numpy as np

from surefoot.tasks.check.findings import Severity
from surefoot.tasks.check.report import Notes
from surefoot.tasks.tracebacks import describe_exception
from surefoot.tasks.wrappers import flatten_observations

_LARGE = 1e5
"""Above this, float32 resolves steps of 0.008 and more."""

_FINAL_KEYS = ("final_observation", "final_obs", "terminal_observation")
"""Where wrappers that reset by themselves keep the observation they have replaced."""


class Unusable(Exception):
    """The environment cannot go on; why has been noted."""


class Watched(NamedTuple):
    """One step as training would see it.

    Attributes:
        observation: [O] float32.
        reward: of this step.
        terminated: the episode ended in a terminal state.
        truncated: the episode was cut off.
        seconds: that the environment's own `step` took.
    """

    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    seconds: float

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class Subject:
    """A copy of the environment whose every return is held against what it promises."""

    def __init__(self, env: gymnasium.Env[Any, Any], notes: Notes) -> None:
        """Watch `env`, whose observation space is supported, and note findings in `notes`."""
        self.env = env
        self._notes = notes
        self._spaces = (env.observation_space, env.action_space)
        self._size, self._flatten = flatten_observations(env.observation_space, "checked")
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        self._step = 0
        self.doing = ""

    def reset(self, seed: int) -> np.ndarray:
        """Begin the episode of `seed`; return the first observation, [O] float32.

        Raises:
            Unusable: the environment raised, or returned what training cannot use.
        """
        with self._calling(f"reset(seed={seed})"):
            returned: Any = self.env.reset(seed=seed)
        self._step = 0
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)):
            self._unusable("api", f"reset returned {_kind(returned)}")
        self._look_at_spaces()
        return self._look_at_observation(returned[0], f"of reset(seed={seed})")

    def step(self, action: np.ndarray) -> Watched:
        """Take one step.

        Raises:
            Unusable: the environment raised, or returned what training cannot use.
        """
        self._step += 1
        given = action.copy()
        with self._calling(f"step {self._step}{self.doing}"):
            started = time.perf_counter()
            returned: Any = self.env.step(given)
            seconds = time.perf_counter() - started
        if not (isinstance(returned, tuple) and len(returned) == 5 and isinstance(returned[4], dict)):
            self._unusable("api", f"step returned {_kind(returned)}")
        observation, reward, terminated, truncated, info = returned
        if not np.array_equal(given, action):
            self._notes.add("action-changed", f"at step {self._step}: {_short(action)} became {_short(given)}")
        terminated, truncated = self._flag("terminated", terminated), self._flag("truncated", truncated)
        for key in _FINAL_KEYS:
            if key in info and (terminated or truncated):
                self._notes.add("autoreset", f"at step {self._step}, info has the key '{key}'")
        flat = self._look_at_observation(observation, f"of step {self._step}{self.doing}")
        number = self._look_at_reward(reward)
        watched = Watched(flat, number, terminated, truncated, seconds)
        if watched.ended:
            self._look_at_spaces()
        return watched

    def step_past_the_end(self, action: np.ndarray) -> None:
        """Take a step that nothing is promised about; whatever comes of it is ignored."""
        with contextlib.suppress(Exception):  # raising is a fair answer to a step after the end
            self.env.step(action.copy())

    def close(self) -> None:
        """Close the environment; what it raises now is of no use to anyone."""
        with contextlib.suppress(Exception):
            self.env.close()

    @contextlib.contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # foreign code may raise anything
            code = "api" if isinstance(error, TypeError) and "unexpected keyword argument" in str(error) else "raises"
            self._notes.add(code, f"{what} raised {describe_exception(error)}")
            raise Unusable from error

    def _unusable(self, code: str, seen: str, severity: Severity | None = None) -> NoReturn:
        self._notes.add(code, seen, severity)
        raise Unusable

    def _flag(self, name: str, flag: Any) -> bool:
        if isinstance(flag, bool | np.bool_):
            return bool(flag)
        seen = f"{name} is {_kind(flag)}"
        try:
            value = bool(flag)
        except Exception:  # an array has no truth value, and training would end there
            self._unusable("flag-type", seen, "error")
        self._notes.add("flag-type", seen)
        return value

    def _look_at_spaces(self) -> None:
        now = (self.env.observation_space, self.env.action_space)
        for before, after in zip(self._spaces, now, strict=True):
            if before is not after and before != after:
                self._unusable("spaces-change", f"{before} has become {after}")

    def _look_at_observation(self, observation: Any, where: str) -> np.ndarray:
        self._look_for_aliases()
        parts = _parts(observation)
        promised = _parts_promised(self.env.observation_space)
        if missing := sorted(promised.keys() - parts.keys()):
            self._unusable("observation-shape", f"the observation {where} lacks {missing}, which its space promises")
        if superfluous := sorted(map(str, parts.keys() - promised.keys())):
            self._notes.add("observation-outside", f"the observation {where} has {superfluous}, which its space lacks")
        for key, box in promised.items():
            self._look_at_part(parts[key], box, f"{key} {where}" if key else f"the observation {where}")
        with np.errstate(over="ignore"):
            flat = self._flatten(observation)
        if not (finite := np.isfinite(flat)).all():
            index = int(np.argmin(finite))
            self._unusable("observation-not-finite", f"entry {index} of the observation {where} is {flat[index]}")
        if (large := np.abs(flat)).max() > _LARGE:
            index = int(np.argmax(large))
            self._notes.add("observation-large", f"entry {index} of the observation {where} is {flat[index]:g}")
        self._held = [(part, part.copy()) for part in parts.values() if isinstance(part, np.ndarray)]
        return flat

    def _look_at_part(self, part: Any, box: gymnasium.spaces.Box, name: str) -> None:
        try:
            array = np.asarray(part)
            array.astype(np.float32)
        except (TypeError, ValueError):
            self._unusable("observation-shape", f"{name} is {_kind(part)}, which does not read as numbers")
        if array.size != box.low.size:
            self._unusable("observation-shape", f"{name} has shape {array.shape}, its space promises {box.shape}")
        if array.shape != box.shape:
            self._notes.add("observation-outside", f"{name} has shape {array.shape}, its space promises {box.shape}")
            return
        if array.dtype.kind in "iub" and array.size:
            self._notes.add("observation-integers", f"{name} has the dtype {array.dtype}")
        elif array.dtype != box.dtype:
            self._notes.add("observation-dtype", f"{name} has the dtype {array.dtype}, its space {box.dtype}")
        if (outside := (array < box.low) | (array > box.high)).any():
            index = np.unravel_index(int(np.argmax(outside)), array.shape)
            where = f"{name}{list(map(int, index)) if index else ''}"
            self._notes.add(
                "observation-outside",
                f"{where} is {float(array[index]):g}, outside {box.low[index]:g} to {box.high[index]:g}",
            )

    def _look_for_aliases(self) -> None:
        for held, copy in self._held:
            if not np.array_equal(held, copy, equal_nan=held.dtype.kind == "f"):
                self._notes.add(
                    "observation-aliased", f"step {self._step} changed the observation that was returned before it"
                )
        self._held = []

    def _look_at_reward(self, reward: Any) -> float:
        try:
            if np.ndim(reward) > 0:
                raise TypeError
            number = float(reward)
        except (TypeError, ValueError):
            self._unusable("reward-type", f"the reward of step {self._step}{self.doing} is {_kind(reward)}")
        if not np.isfinite(number):
            self._unusable("reward-not-finite", f"the reward of step {self._step}{self.doing} is {number}")
        return number


def _parts(observation: Any) -> Mapping[str, Any]:
    return observation if isinstance(observation, Mapping) else {"": observation}


def _parts_promised(space: gymnasium.Space[Any]) -> dict[str, gymnasium.spaces.Box]:
    parts = space.spaces.items() if isinstance(space, gymnasium.spaces.Dict) else [("", space)]
    return {key: part for key, part in parts if isinstance(part, gymnasium.spaces.Box)}


def _kind(value: Any) -> str:
    """What a value is, for a person: its type, and its length or shape where it has one."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}: {', '.join(type(part).__name__ for part in value)}"
    return f"{_short(value)} ({type(value).__name__})"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
