"""Live panel for terminals."""

from __future__ import annotations

import contextlib
import math
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from surefoot.cli.display import (
    PlainDisplay,
    bytes_text,
    environments_text,
    mean,
    path_text,
    seeds_text,
    solved_text,
)
from surefoot.streams import relayed_third_party_output
from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted
from surefoot.training.progress_text import duration_text, speed_text


class LiveDisplay(PlainDisplay):
    """Observer that redraws one panel. Evaluations and messages scroll above it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._evaluation: EvaluationDone | None = None
        self._start_time = 0.0
        self._relayed = contextlib.ExitStack()
        # Redrawn by rich's own thread, because compilation sends no events and the clock must keep moving.
        self._live = Live(console=console, get_renderable=self._panel, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._relayed.enter_context(relayed_third_party_output(self.print))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal, including its cursor."""
        self._relayed.close()
        self._live.stop()

    def on_start(self, event: RunStarted) -> None:
        """Show the panel."""
        self._started, self._start_time = event, time.monotonic()
        self._live.start(refresh=True)

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Print the evaluation above the panel."""
        self._evaluation = event
        self.print("  ".join(self.evaluation_parts(event)))

    def on_finish(self, event: RunFinished) -> None:
        """Leave the last panel on the screen and print the end below it."""
        self._relayed.close()
        self._live.transient = False
        self._live.stop()
        super().on_finish(event)

    def _panel(self) -> RenderableType:
        if self._started is None:
            return ""
        return render(self._started, self._progress, self._evaluation, time.monotonic() - self._start_time)


def render(
    started: RunStarted, progress: Progress | None, evaluation: EvaluationDone | None, seconds: float
) -> RenderableType:
    """Return the panel: the run's settings, elapsed seconds, progress and the returns per seed."""
    body = Group(
        _facts(started),
        Text(),
        _bar(started, progress),
        Text(f"{duration_text(seconds)}  {'starting' if progress is None else speed_text(progress)}"),
        Text(),
        _seed_table(started, progress, evaluation),
    )
    return Panel(
        body,
        title=Text(f"{started.algorithm} on {started.task}", style="bold"),
        subtitle=Text(path_text(started.path)),
        border_style="cyan",
        padding=(0, 1),
    )


def _facts(started: RunStarted) -> RenderableType:
    facts = (
        f"UTD {started.utd}",
        seeds_text(started.seeds, started.num_envs),
        f"{started.precision} on {started.device}",
        f"replay {bytes_text(started.replay_bytes)}",
        environments_text(started),
    )
    return Text(" · ".join(facts), style="dim")


def _bar(started: RunStarted, progress: Progress | None) -> RenderableType:
    done = started.start_env_steps if progress is None else progress.env_steps
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(
        ProgressBar(total=started.env_steps, completed=done),
        f"{done:,} of {started.env_steps:,} env steps, {done / started.env_steps:.0%}",
    )
    return grid


def _seed_table(started: RunStarted, progress: Progress | None, evaluation: EvaluationDone | None) -> RenderableType:
    """Return one row per seed, and one for the mean if there are several."""
    shares = _shares(evaluation)
    evaluated = "evaluation" if evaluation is None else f"evaluation at {evaluation.env_steps:,}"
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    for name in ("seed", "last episode's return", evaluated, *(["solved"] if shares else [])):
        table.add_column(name, justify="right", no_wrap=True)
    episodes = progress.episode_returns if progress is not None else (None,) * len(started.seeds)
    returns: tuple[float | None, ...] = evaluation.returns if evaluation is not None else (None,) * len(started.seeds)

    def add(name: str, episode: float | None, evaluated: float | None, share: str | None, style: str = "") -> None:
        table.add_row(name, _number(episode), _number(evaluated), *([share] if share else []), style=style)

    if len(started.seeds) > 1:  # first, so that a terminal too short for all seeds still shows it
        overall = evaluation and evaluation.successes and solved_text(evaluation.successes, evaluation.last_successes)
        add("mean", _mean(episodes), _mean(returns), overall or None, style="bold")
    for index, seed in enumerate(started.seeds):
        add(str(seed), episodes[index], returns[index], shares[index] if shares else None)
    return table


def _shares(evaluation: EvaluationDone | None) -> tuple[str, ...] | None:
    """Return the share of solved episodes of each seed as text."""
    if evaluation is None or evaluation.successes is None:
        return None
    last = evaluation.last_successes or (None,) * len(evaluation.successes)
    return tuple(
        "-" if math.isnan(one) else solved_text((one,), None if at_end is None else (at_end,))
        for one, at_end in zip(evaluation.successes, last, strict=True)
    )


def _mean(values: tuple[float | None, ...]) -> float | None:
    known = tuple(value for value in values if value is not None)
    return mean(known) if known else None


def _number(value: float | None) -> str:
    return "-" if value is None else "diverged" if math.isnan(value) else f"{value:.1f}"
