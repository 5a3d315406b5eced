"""The checks in their order, each on fresh copies, so that what one finds does not hide what the others would."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium

from surefoot.errors import UserError
from surefoot.tasks.check.action_effects import check_bounds
from surefoot.tasks.check.monitored_env import Subject, Unusable
from surefoot.tasks.check.random_rollout import Explorer, measure_memory
from surefoot.tasks.check.repeatability import check_other_process, check_repeats
from surefoot.tasks.check.report import CheckReport, Measurements, Notes
from surefoot.tasks.check.spaces import check_spaces, draw_actions
from surefoot.tasks.registry import Task, get_task

_COMPARED_STEPS = 200


def check_env(target: str | Callable[[], gymnasium.Env[Any, Any]], *, steps: int = 5_000, seed: int = 0) -> CheckReport:
    """Examine an environment with random actions: does it keep what training relies on?

    Takes about `steps` env steps, some 1,500 more to compare episodes, and the start of one worker process.

    Args:
        target: what `get_task` takes: a name, a registered id, "module:callable", or a callable.
        steps: env steps of random actions; several times the time limit, so that it can be seen how episodes end.
        seed: of the first episode, and of the actions.

    Returns:
        Findings with what they do to learning and how to mend them, and measurements. Where the spaces are not
        supported, they are the only findings.

    Raises:
        UserError: there is no such task, it cannot be made at all, or `steps` or `seed` is out of range.
    """
    if steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    if not 0 <= seed < 2**31 - 2**24:
        raise UserError(f"seed must be between 0 and 2**31 - 2**24 - 1, got {seed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a simulator warns about in every copy is told once, as a finding
        return _examine(get_task(target), steps, seed)


def _examine(task: Task, steps: int, seed: int) -> CheckReport:
    make_env = task.source or (lambda: task.make(action_repeat=1))
    notes = Notes()
    env = make_env()
    horizon = task.horizon
    if horizon is None and env.spec is not None:
        horizon = env.spec.max_episode_steps
    measurements = Measurements()
    if check_spaces(env, task.name, notes):
        measurements = _Examination(task, make_env, notes, seed).run(env, steps, horizon)
    with contextlib.suppress(Exception):  # what it raises now is of no use to anyone
        env.close()
    return CheckReport(
        task=task.name,
        suite=task.suite,
        observation_space=_short(env.observation_space),
        action_space=_short(env.action_space),
        horizon=horizon,
        findings=notes.sorted(),
        measurements=measurements,
    )


class _Examination:
    """The checks of an environment whose spaces can be used."""

    def __init__(self, task: Task, make_env: Callable[[], gymnasium.Env[Any, Any]], notes: Notes, seed: int) -> None:
        self._task, self._make_env, self._notes, self._seed = task, make_env, notes, seed
        self._open: list[Subject] = []

    def run(self, env: gymnasium.Env[Any, Any], steps: int, horizon: int | None) -> Measurements:
        # The first copy explores; the others are fresh, since a copy that broke says nothing more.
        explorer = Explorer(Subject(env, self._notes), self._notes)
        bytes_per_copy: int | None = None
        with self._copies():
            explorer.play(steps, self._seed)
            explorer.judge(horizon)
        with self._copies():
            bytes_per_copy = measure_memory(self._make, self._seed)
        repeats = False
        space = env.action_space
        assert isinstance(space, gymnasium.spaces.Box)  # or `check_spaces` had refused it
        with self._copies():
            actions = draw_actions(space, min(steps, _COMPARED_STEPS), self._seed + 1)
            repeats = check_repeats(self._make, self._seed, actions, self._notes)
        if "action-bounds" not in self._notes:
            with self._copies():
                check_bounds(self._make, self._seed, self._notes, repeats=repeats)
        if repeats and not any(finding.severity == "error" for finding in self._notes.sorted()):
            check_other_process(self._task, self._seed, self._notes)
        return explorer.explored.measurements(bytes_per_copy)

    @contextlib.contextmanager
    def _copies(self) -> Iterator[None]:
        """End a check where the environment breaks, and close the copies that it has made: they may hold a port."""
        with contextlib.suppress(Unusable):
            yield
        while self._open:
            self._open.pop().close()

    def _make(self) -> Subject:
        try:
            env = self._make_env()
        except UserError as error:
            self._notes.add("second-copy", str(error))
            raise Unusable from error
        self._open.append(Subject(env, self._notes))
        return self._open[-1]


def _short(space: gymnasium.Space[Any]) -> str:
    """A space in one line, without the arrays that large ones print."""
    if isinstance(space, gymnasium.spaces.Dict):
        return f"Dict({', '.join(f'{key}: {_short(part)}' for key, part in space.spaces.items())})"
    if not isinstance(space, gymnasium.spaces.Box) or not space.low.size:
        return " ".join(repr(space).split())
    return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape}, {space.dtype})"
