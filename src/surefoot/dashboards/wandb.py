"""Weights & Biases runs, made from a run directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from surefoot.dashboards.base import Dashboard, refuse_links
from surefoot.dashboards.moments import MEAN, LogPoint
from surefoot.errors import MissingDependency, UserError, suggest
from surefoot.runs import RunDirectory

_MODES = ("online", "offline", "disabled")
_FINISH_SECONDS = 120.0
"""How long the end of a run waits for a slow or absent network; the run directory has everything anyway."""

_IDENTITY = ("task", "suite", "algorithm", "seeds", "machine", "started", "command")
"""Entries of config.json that stay as they are when a run is resumed or extended."""


class WandB(Dashboard):
    """Logs to one W&B run: means over seeds as ``evaluation/return``, each seed as ``seed_3/evaluation/return``.

    The W&B run's id follows from the run directory, so a resumed run continues its curves, and ``surefoot sync`` adds
    what is missing. The x axis is env_steps, also for W&B's own step: what W&B has already is not sent again, so what
    was logged twice, because a resume went back to a checkpoint, appears once. Offline, every start writes the whole
    history into a new offline folder in RUN/wandb, which replaces the one before, so that ``wandb sync`` uploads a
    complete run.

    W&B's environment variables hold as everywhere: WANDB_API_KEY, WANDB_BASE_URL and so on, and WANDB_MODE,
    WANDB_PROJECT, WANDB_ENTITY, WANDB_NAME, WANDB_RUN_GROUP, WANDB_TAGS where the argument is not given. WANDB_RUN_ID
    replaces the id.

    Args:
        project: W&B project, "surefoot" unless told otherwise.
        entity: user or team, by default the account's own.
        name: display name, by default that of the run directory.
        group: what runs are grouped by, none by default.
        tags: labels of the run.
        mode: "online", "offline" or "disabled"; by default what W&B is set to, which is online.

    Raises:
        MissingDependency: wandb is not installed.
        UserError: a setting is not one that W&B takes, or it has no API key and is not offline.
    """

    name = "wandb"
    title = "Weights & Biases"

    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(tags, str):
            raise UserError(f"tags must be a list of texts, got the text {tags!r}")
        self._settings = {
            "project": project or os.environ.get("WANDB_PROJECT") or "surefoot",
            "entity": entity,
            "group": group,
            "tags": list(tags) or None,
        }
        self._display_name = name or os.environ.get("WANDB_NAME")
        self._wandb = _import_wandb()
        self._mode = _checked_mode(self._wandb, mode)
        _check_settings(self._wandb, {**self._settings, "name": self._display_name})
        if self._mode == "online":
            _check_login(self._wandb)
        self._run: Any = None
        self._first_step = 0

    def _begin(self, directory: RunDirectory) -> None:
        refuse_links(directory.path / "wandb")
        self._run = self._wandb.init(
            **self._settings,
            id=os.environ.get("WANDB_RUN_ID") or _run_id(directory),
            name=self._display_name or directory.path.name,
            dir=os.environ.get("WANDB_DIR") or str(directory.path),
            config=directory.config,
            allow_val_change=True,  # A resumed run may train for longer.
            mode=self._mode,
            resume="allow",
            reinit="create_new",  # The caller's own W&B run, or another training in this process, is left alone.
            settings=self._wandb.Settings(
                console="off",  # It would take standard output away from the live display.
                quiet=True,  # The run's address, without a summary that repeats what the command says itself.
                **({} if "WANDB_FINISH_TIMEOUT" in os.environ else {"finish_timeout": _FINISH_SECONDS}),
                finish_timeout_raises=True,
            ),
        )
        # One more than the last step W&B has; ``run.step`` is 0 until the first row of a resumed run.
        self._first_step = self._run.starting_step
        self._run.define_metric("*", step_metric="env_steps")

    def _write(self, moments: Sequence[LogPoint]) -> int:
        new = [moment for moment in moments if moment.env_steps >= self._first_step]
        for moment in new:
            # All that belongs to a step is here, so it can be sent at once instead of with the next one.
            self._run.log(_row(moment), step=moment.env_steps, commit=True)
        return len(new)

    def _end(self, *, good: bool) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.finish(exit_code=0 if good else 1)
        if self._mode == "offline":
            _remove_older_folders(run)

    def _look(self) -> str:
        if self._mode == "online":
            return str(self._run.url)
        return f"wandb sync {shlex.quote(str(_folder_of(self._run)))}"


def _row(moment: LogPoint) -> dict[str, float]:
    """One row of W&B's history. The mean has the plain names, which tables, sweeps and comparisons use."""
    row: dict[str, float] = {
        "env_steps": moment.env_steps,
        "agent_steps": moment.agent_steps,
        "grad_steps": moment.grad_steps,
        "wall_seconds": moment.wall_seconds,
        **moment.series[MEAN],
    }
    for series, values in moment.series.items():
        if series != MEAN:
            row |= {f"{series}/{name}": value for name, value in values.items()}
    return row


def _run_id(directory: RunDirectory) -> str:
    """Return what identifies a run, also after it was resumed, extended or copied to another machine."""
    config = directory.config
    identity = [directory.path.name, *(config.get(name) for name in _IDENTITY)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _folder_of(run: Any) -> Path:
    """The folder in which W&B keeps a run on this machine; ``run.dir`` is one inside it."""
    return Path(run.dir).parent


def _remove_older_folders(run: Any) -> None:
    """Remove the offline folders that this run's newest one stands in for.

    Uploading several with one id, in whatever order, would leave W&B with the history of the last one uploaded.
    """
    # W&B appends a number where two folders were begun in the same second.
    own = re.compile(rf"offline-run-\d{{8}}_\d{{6}}-{re.escape(run.id)}(-\d+)?")
    newest = _folder_of(run)
    for older in newest.parent.glob("offline-run-*"):
        if own.fullmatch(older.name) and older.name != newest.name:
            shutil.rmtree(older)


def _import_wandb() -> ModuleType:
    try:
        import wandb
    except ModuleNotFoundError as error:
        if error.name == "wandb":
            raise MissingDependency("wandb", "wandb", "export to Weights & Biases") from error
        raise
    return wandb


def _checked_mode(wandb: ModuleType, mode: str | None) -> str:
    """Return the mode asked for, or the one that W&B's environment or settings file asks for."""
    source = "mode" if mode else "WANDB_MODE"
    chosen: str = mode or os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
    if chosen not in _MODES:
        raise UserError(f"{source} must be one of {', '.join(_MODES)}, got {chosen!r}{suggest(chosen, _MODES)}")
    return chosen


def _check_settings(wandb: ModuleType, settings: dict[str, Any]) -> None:
    """Let W&B refuse now what it would refuse when the run has begun."""
    names = {"group": "run_group", "name": "run_name", "tags": "run_tags"}
    for name, value in settings.items():
        try:
            wandb.Settings(**{names.get(name, name): value})
        except (ValueError, wandb.Error) as error:
            raise UserError(f"W&B does not take {name} {value!r}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The last sentence of what W&B, or the validation library under it, says."""
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"] if callable(errors) else error)


def _check_login(wandb: ModuleType) -> None:
    """Refuse to go online without an API key; asks no server and no person."""
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except (ValueError, wandb.Error) as error:
        raise UserError(f"W&B cannot log in: {_reason(error)}") from error
    if not logged_in:
        raise UserError(
            "W&B has no API key: run `wandb login`, set WANDB_API_KEY, or choose offline with WANDB_MODE=offline"
        )
