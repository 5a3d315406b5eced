"""Environment check: Gymnasium's own checker, then rollouts that test what training relies on."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from surefoot.errors import UserError
from surefoot.misplaced import explains_keywords
from surefoot.spaces import EnvSpaces
from surefoot.tasks.check.action_effects import HOLD_STEPS, check_action_effects
from surefoot.tasks.check.findings import CheckReport, Finding, Findings, Measurements
from surefoot.tasks.check.generators import preserve_generators
from surefoot.tasks.check.gymnasium_messages import check_api
from surefoot.tasks.check.monitored_env import MonitoredEnv, Unusable
from surefoot.tasks.check.other_process import check_other_process
from surefoot.tasks.check.random_rollout import RandomRollout
from surefoot.tasks.check.repeatability import Replay, check_repeatability
from surefoot.tasks.check.sharing import check_shared_state, check_step_after_end
from surefoot.tasks.check.spaces import check_spaces, short
from surefoot.tasks.check.wrappers import check_wrappers
from surefoot.tasks.registry import get_task
from surefoot.tasks.task import Task
from surefoot.whole_numbers import whole_number

_COMPARED_STEPS = 200
_MEMORY_COPIES = 3
_BRIEF_STEPS, _BRIEF_COMPARED_STEPS, _BRIEF_PLAYS, _FEWEST_STEPS = 2_000, 100, 20, 5
"""Of a brief check: steps of the rollout and of the compared episodes, how often these are played, and with how few
steps a comparison is worth it."""


@explains_keywords
def check_env(
    target: str | Callable[..., gymnasium.Env[Any, Any]],
    *,
    env_set: Mapping[str, Any] | None = None,
    steps: int = 5_000,
    seed: int = 0,
) -> CheckReport:
    """Check with random actions that an environment has the properties training relies on.

    Runs `gymnasium.utils.env_checker.check_env`, `steps` env steps of random actions, about 1,500 more to compare
    episodes, and one worker process.

    Args:
        target: Argument of `get_task`: a name, a registered id, "module:callable", or a callable.
        env_set: Keywords with which the environment is made, likewise.
        steps: Env steps of random actions; several times the time limit, so that the end of episodes is checked.
        seed: Seed of the first episode and of the actions.

    Returns:
        Findings, each with its effect on training and its remedy, and measurements. If a space is not supported,
        only the spaces are checked.

    Raises:
        UserError: There is no such task, it cannot be made at all or is written in JAX, or `steps` or `seed` is out of
            range.
    """
    steps, seed = whole_number("steps", steps, 1), whole_number("seed", seed)
    if not 0 <= seed < 2**31 - 2**24:
        raise UserError(f"seed must be between 0 and 2**31 - 2**24 - 1, got {seed}")
    task = get_task(target, env_set)
    if task.engine == "jax":
        raise UserError(f"task '{task.name}' is written in JAX, and the check is for Gymnasium's interface")
    with preserve_generators(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # simulators repeat their warnings in every copy
        return _Check(task, seed).run(steps)


def check_briefly(task: Task, seconds: float, *, one_per_process: bool = False) -> tuple[Finding, ...]:
    """Return the findings of those checks that a limited time allows.

    The time is looked at before every call of the environment, so that a call which takes longer exceeds it once.
    Nothing is concluded from what did not happen in the steps that there was time for.

    Args:
        task: Task to check.
        seconds: The time.
        one_per_process: Whether to make a single copy at a time, without the checks that need several.

    Raises:
        UserError: The environment cannot be made.
    """
    with preserve_generators(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _Check(task, 0, time.monotonic() + seconds, one_per_process).run_briefly()


class _Check:
    """Checks of one task, each on fresh copies so that a failure in one does not affect the others."""

    def __init__(self, task: Task, seed: int, deadline: float = math.inf, one_per_process: bool = False) -> None:
        self._task, self._seed, self._findings = task, seed, Findings()
        self._deadline, self._one_per_process = deadline, one_per_process
        self._make_env = task.source or (lambda: task.make(action_repeat=1))
        self._open: list[MonitoredEnv] = []
        self._spaces: EnvSpaces

    def run(self, steps: int) -> CheckReport:
        env, measurements = self._make_env(), Measurements()
        with closing(env):
            observation_space, action_space = short(env.observation_space), short(env.action_space)
            horizon = declared_horizon(self._task, env)
            rollout = self._roll_out(env, steps)
            if rollout is not None:
                rollout.add_findings(horizon)
                check_api(env, self._findings)
        # Closed before others are made: it may hold the only robot.
        if rollout is not None:
            measurements = rollout.measurements(self._check_copies(steps))
        return CheckReport(
            task=self._task.name,
            suite=self._task.suite,
            observation_space=observation_space,
            action_space=action_space,
            horizon=horizon,
            findings=self._findings.sorted(),
            measurements=measurements,
        )

    def run_briefly(self) -> tuple[Finding, ...]:
        started = time.monotonic()
        env = self._make_env()
        made = time.monotonic()
        with closing(env):
            rollout = self._roll_out(env, _BRIEF_STEPS, 0.5 * (started + self._deadline))
            if rollout is not None:
                rollout.add_findings(declared_horizon(self._task, env), complete=False)
        if rollout is not None and rollout.steps:
            self._compare_briefly(made - started, (time.monotonic() - made) / rollout.steps)
        return self._findings.sorted()

    def _roll_out(self, env: gymnasium.Env[Any, Any], steps: int, deadline: float = math.inf) -> RandomRollout | None:
        """Check one copy; return its rollout unless a space is not supported."""
        check_wrappers(env, self._findings)
        if (spaces := check_spaces(env, self._findings)) is None:
            return None
        self._spaces = spaces
        rollout = RandomRollout(MonitoredEnv(env, spaces, self._findings, deadline), self._findings)
        with contextlib.suppress(Unusable):
            rollout.play(self._actions(min(steps, 1000), self._seed), steps, self._seed)
        return rollout

    def _compare_briefly(self, copy_seconds: float, step_seconds: float) -> None:
        """Compare copies in what is left of the time, with fewer steps for a slow environment."""
        findings, seed, replay = self._findings, self._seed, Replay()

        def has_time(copies: int, steps: int) -> bool:
            return time.monotonic() + copies * copy_seconds + steps * step_seconds < self._deadline

        steps = int((self._deadline - time.monotonic()) / (_BRIEF_PLAYS * step_seconds))
        actions = self._actions(min(steps, _BRIEF_COMPARED_STEPS), seed + 1)
        if len(actions) < _FEWEST_STEPS:
            return
        if has_time(2, 6 * len(actions)):
            with self._copies():
                replay = check_repeatability(self._make, seed, actions, findings)
        if has_time(3, 3 * len(actions)):
            with self._copies():
                check_shared_state(self._make, seed, actions, replay, findings)
        if has_time(1 if replay.outlasts_reset else 5, 5 * min(HOLD_STEPS, len(actions))):
            with self._copies():
                check_action_effects(self._make, seed, findings, replay, min(HOLD_STEPS, len(actions)))

    def _check_copies(self, steps: int) -> int | None:
        """Check several copies, also in another process; return the memory of one."""
        findings, seed = self._findings, self._seed
        bytes_per_copy: int | None = None
        replay = Replay()
        actions = self._actions(min(steps, _COMPARED_STEPS), seed + 1)
        with self._copies():
            bytes_per_copy = self._bytes_per_copy()
        with self._copies():
            replay = check_repeatability(self._make, seed, actions, findings)
        for check in (check_shared_state, check_step_after_end):
            with self._copies():
                check(self._make, seed, actions, replay, findings)
        with self._copies():
            check_action_effects(self._make, seed, findings, replay)
        check_other_process(self._task, seed, findings, replay.repeats and not replay.pinned)
        return bytes_per_copy

    def _actions(self, steps: int, seed: int) -> np.ndarray:
        """Return uniform random actions [steps, A] in [-1, 1], as in a warm-up."""
        return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, self._spaces.action.size)).astype(np.float32)

    @contextlib.contextmanager
    def _copies(self) -> Iterator[None]:
        """Close the copies made in the block, and end it early if the environment is unusable."""
        try:
            with contextlib.suppress(Unusable):
                yield
        finally:
            while self._open:
                self._open.pop().close()

    def _make(self) -> MonitoredEnv:
        if self._one_per_process and self._open:
            raise Unusable
        try:
            env = self._make_env()
        except UserError as error:
            self._findings.add("second-copy", str(error))
            raise Unusable from error
        self._open.append(MonitoredEnv(env, self._spaces, self._findings, self._deadline))
        return self._open[-1]

    def _bytes_per_copy(self) -> int | None:
        """Measure the main memory of one more copy after its first reset; None where Linux does not report it."""
        before = _resident_bytes()
        for copy in range(_MEMORY_COPIES):
            self._make().reset(self._seed + copy)
        after = _resident_bytes()
        return None if before is None or after is None else max(0, after - before) // _MEMORY_COPIES


@contextlib.contextmanager
def closing(env: gymnasium.Env[Any, Any]) -> Iterator[None]:
    """Close an environment after the block, ignoring exceptions."""
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            env.close()


def declared_horizon(task: Task, env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the time limit in env steps that the task or the registration declares."""
    return env.spec.max_episode_steps if task.horizon is None and env.spec is not None else task.horizon


def _resident_bytes() -> int | None:
    gc.collect()  # copies closed before may be in reference cycles
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
