"""Weights & Biases runs of a run directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from surefoot.dashboards.base import Dashboard, Synced, check_links
from surefoot.dashboards.points import MEAN, LogPoint
from surefoot.errors import MissingDependency, UserError, suggest
from surefoot.runs import RunDirectory
from surefoot.text import printable, readable, shell_command

_MODES = ("online", "offline", "disabled")
_FINISH_SECONDS = 120.0
"""Time that the end of a run waits for a slow or absent network."""

_IDENTITY = ("task", "suite", "algorithm", "seeds", "machine", "started", "command")
"""Entries of config.json that do not change when a run is resumed or extended."""


class WandB(Dashboard):
    """Logs to one W&B run: means over seeds as ``evaluation/return``, each seed as ``seed_3/evaluation/return``.

    The W&B run's id is derived from the run directory, so a resumed run continues its curves, and ``surefoot sync``
    adds missing points. The x axis and W&B's step are env_steps: steps that W&B has are not sent again, so rows that
    were logged twice, because a resume went back to a checkpoint, appear once. Offline, every start writes the whole
    history into a new offline folder in RUN/wandb, which replaces the previous one, so that ``wandb sync`` uploads a
    complete run.

    W&B's environment variables apply: WANDB_API_KEY, WANDB_BASE_URL and so on, and WANDB_MODE, WANDB_PROJECT,
    WANDB_ENTITY, WANDB_NAME, WANDB_RUN_GROUP, WANDB_TAGS where the argument is not given. WANDB_RUN_ID replaces the id.

    Args:
        project: W&B project; "surefoot" by default.
        entity: User or team; the account's own by default.
        name: Display name; the run directory's name by default.
        group: Group of runs; none by default.
        tags: Labels of the run.
        mode: "online", "offline" or "disabled"; W&B's own setting by default, which is online.

    Raises:
        MissingDependency: wandb is not installed.
        UserError: A setting is not valid for W&B, or it has no API key and is not offline.
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

    def sync(self, path: str | Path) -> Synced:
        """Bring the view to the content of a run directory, which the mode "disabled" rejects."""
        if self._mode == "disabled":
            raise UserError(
                "W&B is disabled, so nothing would be sent: expected the mode online or offline (WANDB_MODE)"
            )
        return super().sync(path)

    def _start(self, directory: RunDirectory) -> None:
        check_links(directory.path / "wandb")
        folder = os.environ.get("WANDB_DIR") or str(directory.path)
        if readable(folder) != folder:
            raise UserError(f"W&B cannot write to {folder}, a path that is not UTF-8: set WANDB_DIR to another folder")
        self._run = self._wandb.init(
            **self._settings,
            id=os.environ.get("WANDB_RUN_ID") or _run_id(directory),
            name=self._display_name or printable(directory.path.name),
            dir=folder,
            config=directory.config,
            allow_val_change=True,  # a resumed run may train for longer
            mode=self._mode,
            resume="allow",
            reinit="create_new",  # leaves the caller's own W&B runs alone
            settings=self._wandb.Settings(
                console="off",  # it would redirect standard output from the live display
                quiet=True,  # the run's address, without a summary
                **({} if "WANDB_FINISH_TIMEOUT" in os.environ else {"finish_timeout": _FINISH_SECONDS}),
                finish_timeout_raises=True,
            ),
        )
        # One more than W&B's last step; ``run.step`` is 0 until the first row of a resumed run.
        self._first_step = self._run.starting_step
        self._run.define_metric("*", step_metric="env_steps")

    def _write(self, points: Sequence[LogPoint]) -> int:
        new = [point for point in points if point.env_steps >= self._first_step]
        for point in new:
            # A point is complete, so it is committed at once instead of with the next step.
            self._run.log(_row(point), step=point.env_steps, commit=True)
        return len(new)

    def _stop(self, *, success: bool) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.finish(exit_code=0 if success else 1)
        if self._mode == "offline":
            _remove_older_folders(run)

    def _viewer(self) -> str:
        if self._mode == "online":
            return str(self._run.url)
        return shell_command("wandb", "sync", _folder_of(self._run))


def _row(point: LogPoint) -> dict[str, float]:
    """Return a row of W&B's history. The mean has the plain names, for tables, sweeps and comparisons."""
    row: dict[str, float] = {
        "env_steps": point.env_steps,
        "agent_steps": point.agent_steps,
        "grad_steps": point.grad_steps,
        "wall_seconds": point.wall_seconds,
        **point.series[MEAN],
    }
    for series, values in point.series.items():
        if series != MEAN:
            row |= {f"{series}/{name}": value for name, value in values.items()}
    return row


def _run_id(directory: RunDirectory) -> str:
    """Return an id that stays the same when the run is resumed, extended or copied."""
    config = directory.config
    identity = [directory.path.name, *(config.get(name) for name in _IDENTITY)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _folder_of(run: Any) -> Path:
    """Return W&B's local folder of a run; ``run.dir`` is a folder inside it."""
    return Path(run.dir).parent


def _remove_older_folders(run: Any) -> None:
    """Remove the offline folders that this run's newest one replaces.

    Uploading several with the same id would leave W&B with the history of the last one uploaded.
    """
    # W&B appends a number if two folders were made in the same second.
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
            raise MissingDependency("wandb", "wandb", "writing to Weights & Biases") from error
        raise
    return wandb


def _checked_mode(wandb: ModuleType, mode: str | None) -> str:
    """Return the given mode, or the one in W&B's environment or settings file."""
    source = "mode" if mode else "WANDB_MODE"
    chosen: str = mode or os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
    if chosen not in _MODES:
        raise UserError(f"{source} must be one of {', '.join(_MODES)}, got {chosen!r}{suggest(chosen, _MODES)}")
    return chosen


def _check_settings(wandb: ModuleType, settings: dict[str, Any]) -> None:
    """Validate settings with W&B before the run starts."""
    names = {"group": "run_group", "name": "run_name", "tags": "run_tags"}
    for name, value in settings.items():
        try:
            wandb.Settings(**{names.get(name, name): value})
        except (ValueError, wandb.Error) as error:
            raise UserError(f"invalid W&B {name} {value!r}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the message of W&B or of its validation library."""
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"] if callable(errors) else error)


def _check_login(wandb: ModuleType) -> None:
    """Validate that there is an API key, without contacting the server or prompting."""
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except (ValueError, wandb.Error) as error:
        raise UserError(f"W&B cannot log in: {_reason(error)}") from error
    if not logged_in:
        raise UserError(
            "W&B has no API key: run `wandb login`, set WANDB_API_KEY, or choose offline with WANDB_MODE=offline"
        )
