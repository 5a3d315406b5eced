"""``surefoot train`` and ``surefoot resume``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surefoot.cli.options import PresetRatio, RunPath, RunTask, SettingTexts, TaskName, setting_option
from surefoot.cli.sync import DashboardNames
from surefoot.errors import UserError
from surefoot.signals import INTERRUPTED
from surefoot.streams import continue_without_output
from surefoot.training.config import settings

if TYPE_CHECKING:
    from surefoot.algorithms import Algorithm
    from surefoot.cli.display import PlainDisplay
    from surefoot.training.api import Run


@dataclass(frozen=True)
class _TrainOptions:
    """Train an algorithm on a task and record the run in a directory."""

    task: TaskName
    """A name that `surefoot tasks` lists, a registered Gymnasium id, or module:callable."""
    algorithm: str = "crossq-wn-code"
    """A name that `surefoot algorithms` lists."""
    utd: PresetRatio = None
    """Gradient updates per agent step after the warm-up (update-to-data ratio); a fraction such as 2/1024 with many
    environments per seed."""
    set: SettingTexts = ()
    """Replace a setting of the algorithm, such as critic.norm=none, temperature.initial=0.01 or
    "critic=MLP((256, 256), BatchNorm())"; repeatable. `surefoot algorithms NAME` lists the paths and values."""
    dashboard: DashboardNames = ()
    """Dashboards to update during the run: tensorboard, wandb, or both."""
    skip_check: bool = False
    """Leave out the short check of an environment that `surefoot tasks` does not list."""

    imports = ("surefoot.cli.display", "surefoot.dashboards", "surefoot.training.api")

    def __post_init__(self) -> None:
        """Make a dictionary of the keywords, of which the last of a name applies."""
        object.__setattr__(self, "env_set", dict(getattr(self, "env_set", ())) or None)

    def run(self) -> int:
        """Train with a progress display; return the exit code."""
        from surefoot.cli.display import make_display
        from surefoot.dashboards import make_dashboards
        from surefoot.training import api

        continue_without_output()
        options = {setting.name: getattr(self, setting.name) for setting in settings()}
        if self.skip_check:
            options["skip_check"] = True
        algorithm, dashboards = self.make_algorithm(), make_dashboards(self.dashboard)
        with make_display() as display:
            return _exit_code(
                display,
                lambda: api.train(self.task, algorithm=algorithm, observer=display, callbacks=dashboards, **options),
            )

    def make_algorithm(self) -> Algorithm:
        """Return the algorithm that the options describe."""
        from surefoot.algorithms.part_text import with_settings
        from surefoot.algorithms.presets import get_preset

        pairs = []
        for text in self.set:
            path, equals, value = text.partition("=")
            if not equals:
                raise UserError(f"train: --set: expected PATH=VALUE such as critic.norm=none, got {text!r}")
            pairs.append((path.strip(), value.strip()))
        return with_settings(get_preset(self.algorithm, utd=self.utd), pairs)


@dataclass(frozen=True)
class _ResumeOptions:
    """Resume a run from its last intact checkpoint; the result equals that of an uninterrupted run."""

    path: RunPath
    """Run directory."""
    task: RunTask = None
    """Task of the run, required where it is module:callable, since a run directory is not trusted to name code."""
    dashboard: DashboardNames = ()
    """Dashboards to update from here on, including earlier rows: tensorboard, wandb, or both."""

    imports = ("surefoot.cli.display", "surefoot.dashboards", "surefoot.training.api")

    def run(self) -> int:
        """Resume with a progress display; return the exit code."""
        from surefoot.cli.display import make_display
        from surefoot.dashboards import make_dashboards
        from surefoot.training import api

        continue_without_output()
        names = ("task", *(setting.name for setting in settings() if setting.resume))
        values = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        dashboards = make_dashboards(self.dashboard)
        with make_display() as display:
            return _exit_code(display, lambda: api.resume(self.path, observer=display, callbacks=dashboards, **given))


def _exit_code(display: PlainDisplay, run: Callable[[], Run]) -> int:
    """Start or resume a run with a display, and return the exit code."""
    try:
        return 0 if run().completed else INTERRUPTED
    except KeyboardInterrupt:
        if not display.completed:
            raise
        return 0  # the signal came during the last step


def _with_settings(name: str, options: type, *, resume: bool) -> Any:
    """Return a command with an option for every setting, or for those that a resumed run may change."""
    fields = [setting_option(setting, resume=resume) for setting in settings() if setting.resume or not resume]
    return dataclasses.make_dataclass(
        name, fields, bases=(options,), frozen=True, namespace={"__doc__": options.__doc__}, module=__name__
    )


Train = _with_settings("Train", _TrainOptions, resume=False)
Resume = _with_settings("Resume", _ResumeOptions, resume=True)
