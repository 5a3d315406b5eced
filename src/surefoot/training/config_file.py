"""config.json of a run: writing it, and reading a run back from it."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from surefoot.algorithms import algorithm_from_data, to_data
from surefoot.errors import UserError
from surefoot.machine import describe_machine
from surefoot.networks.validation import one_line
from surefoot.runs import RunDirectory
from surefoot.spaces import EnvSpaces
from surefoot.tasks import Task, get_run_task, with_engine
from surefoot.training.config import TrainConfig, check_names, settings
from surefoot.training.plan import Plan, make_plan
from surefoot.training.warm_start.info import WarmStartInfo

_ADDED = {"num_envs": 1, "engine": "suite"}
"""Settings that runs of earlier revisions do not record."""

_PER_PROCESS = ("started", "command", "machine")
"""Entries about the process that started the run, which a resumed run keeps."""


def describe_run(config: TrainConfig, plan: Plan, task: Task, spaces: EnvSpaces) -> dict[str, Any]:
    """Return the fully resolved configuration that config.json records, with the spaces of the environment."""
    return {
        "task": task.name,
        "suite": task.suite,
        "algorithm": to_data(config.algorithm),
        **{setting.name: getattr(config, setting.name) for setting in settings() if setting.recorded},
        "env_set": dict(task.env_set) or None,  # also those of a callable's functools.partial
        "seeds": list(plan.seeds),
        "warm_start": plan.warm_start.to_data(),
        "spaces": spaces.to_data(),
        "resolved": {
            "action_repeat": plan.action_repeat,
            "discount": plan.discount,
            "agent_steps": plan.agent_steps,
            "replay_capacity": plan.capacity,
        },
        "machine": describe_machine(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [_program(sys.argv[0]), *sys.argv[1:]],
    }


def describe_resumed_run(
    config: TrainConfig, plan: Plan, task: Task, spaces: EnvSpaces, before: dict[str, Any]
) -> dict[str, Any]:
    """Return the entries that a resumed run changes in config.json, given its content before."""
    described = describe_run(config, plan, task, spaces)
    resumed = [*before.get("resumed", []), {"machine": described["machine"]}]
    return {name: value for name, value in described.items() if name not in _PER_PROCESS} | {"resumed": resumed}


def read_run(
    directory: RunDirectory, task: str | Callable[[], Any] | None, changes: dict[str, Any]
) -> tuple[TrainConfig, Task, Plan]:
    """Return the run that a run directory's config.json describes.

    Args:
        directory: Run directory.
        task: Task the run was trained on, where it is code; see ``tasks.get_run_task``.
        changes: New values of settings that ``resume`` may change.

    Raises:
        UserError: config.json is damaged, the task's own settings have changed since, or a change is not allowed.
    """
    check_names(changes, resume=True)
    resolved = get_run_task(_entry(directory, "task", str), task, directory.config.get("env_set"))
    stored = _read_config(directory, task or resolved.name)
    config = dataclasses.replace(stored, **changes)
    if config.env_steps < stored.env_steps:
        raise UserError(
            f"env_steps can only grow when a run is resumed: it was {stored.env_steps:,}, got {config.env_steps:,}"
        )
    resolved = with_engine(resolved, config.engine)
    plan = make_plan(config, resolved, WarmStartInfo.from_data(directory.config.get("warm_start")))
    _check_plan(directory, plan)
    return config, resolved, plan


def read_spaces(directory: RunDirectory) -> EnvSpaces:
    """Return the spaces that a run was trained with.

    Raises:
        UserError: config.json is damaged.
    """
    try:
        return EnvSpaces.from_data(directory.config.get("spaces"))
    except UserError as error:
        raise UserError(f"{directory.path / 'config.json'}: {error}") from error


def _read_config(directory: RunDirectory, task: str | Callable[[], Any]) -> TrainConfig:
    """Return the configuration that config.json, which may have been edited, holds."""
    recorded = {}
    for setting in settings():
        if setting.recorded:
            value = directory.config.get(setting.name, _ADDED.get(setting.name))
            if isinstance(value, float):  # valid in TrainConfig, where it is a whole number, but never written
                raise _damaged(directory, setting.name, value, "an integer")
            try:
                recorded[setting.name] = setting.validate(value)
            except UserError as error:
                raise UserError(f"{directory.path / 'config.json'}: {error}") from None
    warm_start = WarmStartInfo.from_data(directory.config.get("warm_start"))
    return TrainConfig(
        task=task,
        algorithm=algorithm_from_data(_entry(directory, "algorithm", dict)),
        init_from=None if warm_start.init_from is None else Path(warm_start.init_from),
        init_replay=warm_start.init_replay,
        prefill=warm_start.prefill,
        **recorded,
    )


def _check_plan(directory: RunDirectory, plan: Plan) -> None:
    """Validate that the task's own settings have not changed since the run was started."""
    stored = _entry(directory, "resolved", dict)
    for name in ("action_repeat", "discount"):
        if stored.get(name) != getattr(plan, name):
            raise UserError(
                f"this run was trained with {name} {one_line(stored.get(name))}, which is now {getattr(plan, name)}"
            )


def _entry(directory: RunDirectory, name: str, kind: type) -> Any:
    """Return an entry of config.json, which may have been edited."""
    if not isinstance(value := directory.config.get(name), kind):
        raise _damaged(directory, name, value, kind.__name__)
    return value


def _damaged(directory: RunDirectory, name: str, value: Any, expected: str) -> UserError:
    return UserError(f"{directory.path / 'config.json'}: {name} is {one_line(value)}, expected {expected}")


def _program(path: str) -> str:
    """Return "surefoot" however the command line was started, or the file name of a user's own script."""
    name = Path(path).name
    return "surefoot" if name == "__main__.py" else name
