"""Environment whose return values are checked as training would use them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import gymnasium
import numpy as np
from gymnasium.utils.passive_env_checker import env_reset_passive_checker, env_step_passive_checker

from surefoot.spaces import EnvSpaces
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.gymnasium_messages import add_messages, collect_messages
from surefoot.tasks.rewards import UnusableReward, as_reward
from surefoot.tasks.tracebacks import describe_exception

_LARGE = 1e5
"""Above this magnitude, float32 resolves steps of 0.008 and more."""

_AUTORESET_KEYS = ("final_observation", "final_obs", "terminal_observation")
"""Keys under which autoreset wrappers keep the replaced observation in `info`."""


class Unusable(Exception):
    """The environment returned nothing that can be checked; the finding that explains it has been added."""


class OutOfTime(Unusable):
    """The time for the check is over."""


class CheckedStep(NamedTuple):
    """One step, converted as training would.

    Attributes:
        observation: [O] float32.
        reward: Reward of the step; NaN if it is not a finite number.
        terminated: Whether the episode terminated.
        truncated: Whether the episode was truncated.
        seconds: Duration of the environment's `step`.
        failed: Whether the step raised or returned something that training cannot use: the observation is the one
            before, and the episode cannot go on.
    """

    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    seconds: float
    failed: bool = False

    @property
    def ended(self) -> bool:
        """Whether the episode ended."""
        return self.terminated or self.truncated or self.failed


class MonitoredEnv:
    """One copy of the environment whose return values are checked on every call.

    Args:
        env: The environment, whose spaces were described before.
        spaces: Their description.
        findings: Collection that findings are added to.
        deadline: Time of `time.monotonic` after which no call is made.

    Attributes:
        env: The argument.
        spaces: The argument.
        action_label: Text that follows the number of the step in findings.
        ends_are_known: Whether every step ended, or did not end, its episode as the environment returned it.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], spaces: EnvSpaces, findings: Findings, deadline: float = math.inf
    ) -> None:
        self.env, self.spaces = env, spaces
        self.action_label = ""
        self.ends_are_known = True
        self._findings = findings
        self._deadline = deadline
        self._closed = False
        self._last = np.zeros(spaces.observation_size, np.float32)
        self._gym_spaces = (env.observation_space, env.action_space)
        self._returned: list[tuple[np.ndarray, np.ndarray]] = []
        self._step = 0

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode of `seed` and return the first observation, [O] float32.

        Raises:
            Unusable: The environment raised or returned something that training cannot use.
            OutOfTime: The deadline has passed.
        """
        self._check_time()
        call = f"reset(seed={seed})"
        with self._exceptions_from(call):
            returned: Any = self.env.reset(seed=seed)
        self._step = 0
        with collect_messages() as messages:
            stub = SimpleNamespace(
                reset=lambda seed=None, options=None: returned, observation_space=self._gym_spaces[0]
            )
            env_reset_passive_checker(stub)
        self._require_length(returned, 2, call, messages)
        self._check_spaces()
        self._last = self._convert(returned[0], call, messages)
        add_messages(messages, self._findings)
        return self._last

    def step(self, unit: np.ndarray) -> CheckedStep:
        """Take one step with an action [A] in [-1, 1], which reaches the environment as in training.

        Raises:
            OutOfTime: The deadline has passed.
        """
        self._check_time()
        try:
            step = self._checked_step(unit)
        except Unusable:
            self.ends_are_known = False
            return CheckedStep(self._last, math.nan, False, False, 0.0, failed=True)
        self._last = step.observation
        return step

    def _checked_step(self, unit: np.ndarray) -> CheckedStep:
        self._step += 1
        call, action = f"step {self._step}{self.action_label}", self.spaces.action.from_unit(unit)
        passed = action.copy()
        with self._exceptions_from(call):
            started = time.perf_counter()
            returned: Any = self.env.step(passed)
            seconds = time.perf_counter() - started
        with collect_messages() as messages:
            stub = SimpleNamespace(step=lambda _: returned, observation_space=self._gym_spaces[0])
            env_step_passive_checker(stub, action)
        self._require_length(returned, 5, call, messages)
        observation, reward, terminated, truncated, info = returned
        flat = self._convert(observation, call, messages)
        reward, problem = self._reward(reward, call), "reward-unusable" in self._findings
        try:
            terminated, truncated = bool(terminated), bool(truncated)
        except (TypeError, ValueError) as error:
            problem = True
            self._findings.add("api", f"{call}: {'; '.join(messages) or error}")
            terminated = truncated = self.ends_are_known = False
        if not problem:
            add_messages(messages, self._findings)
        if not np.array_equal(passed, action):
            self._findings.add("action-changed", f"at {call}: {action} became {passed}")
        if terminated or truncated:
            self._check_spaces()
            for key in _AUTORESET_KEYS:
                if isinstance(info, Mapping) and key in info:
                    self._findings.add("autoreset", f"at {call}, info has the key '{key}'")
        return CheckedStep(flat, reward, terminated, truncated, seconds)

    def step_past_the_end(self, unit: np.ndarray) -> None:
        """Take a step after the end of an episode and ignore its result; raising is allowed there."""
        with contextlib.suppress(Exception):
            self.env.step(self.spaces.action.from_unit(unit))

    def close(self) -> None:
        """Close the environment once, ignoring exceptions."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):
                self.env.close()

    def _reward(self, reward: Any, call: str) -> float:
        """Return a reward, NaN if it is not a finite number."""
        try:
            number = as_reward(reward)
        except UnusableReward as error:
            self._findings.add("reward-unusable", f"{call}: {error}")
            return math.nan
        if not np.isfinite(number):
            self._findings.add("reward-not-finite", f"the reward of {call} is {number}")
            return math.nan
        return number

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise OutOfTime

    @contextlib.contextmanager
    def _exceptions_from(self, call: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # the environment is user code
            missing = isinstance(error, TypeError) and "reset() got an unexpected keyword argument" in str(error)
            self._findings.add("api" if missing else "raises", f"{call} raised {describe_exception(error)}")
            raise Unusable from error

    def _unusable(self, code: str, observed: str) -> NoReturn:
        self._findings.add(code, observed)
        raise Unusable

    def _require_length(self, returned: Any, length: int, call: str, messages: list[str]) -> None:
        if not (isinstance(returned, tuple | list) and len(returned) == length):
            self._unusable("api", f"{call}: {'; '.join(messages) or f'returned {type(returned).__name__}'}")

    def _check_spaces(self) -> None:
        for before, after in zip(self._gym_spaces, (self.env.observation_space, self.env.action_space), strict=True):
            if before is not after and before != after:
                self._findings.add("spaces-change", f"{before} has become {after}")

    def _convert(self, observation: Any, call: str, messages: list[str]) -> np.ndarray:
        for array, copy in self._returned:
            if not np.array_equal(array, copy, equal_nan=array.dtype.kind == "f"):
                self._findings.add("observation-aliased", f"{call} changed the observation returned before it")
        try:
            with np.errstate(over="ignore"):
                flat = self.spaces.flatten(observation)
        except (TypeError, ValueError, LookupError) as error:
            self._unusable("api", f"{call}: {'; '.join(messages) or error}")
        if flat.size != (size := self.spaces.observation_size):
            self._unusable("api", f"{call}: the observation has {flat.size} numbers, its space has {size}")
        finite = np.isfinite(flat)
        if not finite.all():
            index = int(np.argmin(finite))
            observed = f"entry {index} of the observation of {call} is {flat[index]}"
            self._findings.add("observation-not-finite", observed)
        index = int(np.argmax(np.abs(np.where(finite, flat, 0.0))))
        if finite[index] and abs(flat[index]) > _LARGE:
            self._findings.add("observation-large", f"entry {index} of the observation of {call} is {flat[index]:g}")
        self._returned = []
        for name, part, box in self._parts(observation):
            array = np.asarray(part)
            if array.dtype.kind not in "fiub":
                self._unusable("api", f"{call}: {name} has the dtype {array.dtype}, expected real numbers")
            if isinstance(part, np.ndarray):
                self._returned.append((part, part.copy()))
            if array.dtype.kind in "iub" and "observation-pixels" not in self._findings:
                self._findings.add("observation-integers", f"{name} of {call} has the dtype {array.dtype}")
            if array.shape != box.shape:
                observed = f"{name} of {call} has shape {array.shape}, its space {box.shape}"
                self._findings.add("observation-outside", observed)
            elif (outside := (array < box.low) | (array > box.high)).any():
                at = tuple(map(int, np.unravel_index(int(np.argmax(outside)), array.shape)))
                observed = f"{name}{list(at)} of {call} is {array[at]:g}, outside {box.low[at]:g} to {box.high[at]:g}"
                self._findings.add("observation-outside", observed)
        return flat

    def _parts(self, observation: Any) -> Iterator[tuple[str, Any, gymnasium.spaces.Box]]:
        """Yield name, value and Box of each part of an observation."""
        for part in self.spaces.observation:
            box: Any = self._gym_spaces[0]
            for step in part.path:
                box = box[step]
            yield "observation" + "".join(f"[{step!r}]" for step in part.path), part.of(observation), box
