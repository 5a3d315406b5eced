"""Progress display in notebooks."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any

from surefoot.training.events import Observer, Progress, RunFinished, RunStarted
from surefoot.training.progress_text import duration_text, progress_text


def default_observer() -> Observer:
    """Return the observer of a run for which none was given: in a notebook, one with a line of progress."""
    display = find_display()
    return Observer() if display is None else NotebookObserver(display)


def find_display() -> Callable[..., Any] | None:
    """Return IPython's function ``display`` if this process is the kernel of a notebook, else None.

    Without importing IPython, which a kernel has imported already.
    """
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_shell is None else get_shell()
    if getattr(shell, "kernel", None) is None:  # also in IPython's own terminal
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display


class NotebookObserver(Observer):
    """Observer that also updates one line with the steps, the speeds and the time left.

    Args:
        display: IPython's function ``display``.
    """

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._line: Any = None
        self._env_steps = 0

    def on_start(self, event: RunStarted) -> None:
        """Print the start and show the line."""
        super().on_start(event)
        self._env_steps = event.env_steps
        self._show("starting")

    def on_progress(self, event: Progress) -> None:
        """Update the line."""
        self._show(progress_text(event, self._env_steps))

    def on_finish(self, event: RunFinished) -> None:
        """Update the line and print the end."""
        self._show(f"env steps {event.env_steps:,}/{self._env_steps:,} in {duration_text(event.wall_seconds)}")
        super().on_finish(event)

    def _show(self, text: str) -> None:
        content = {"text/plain": text}
        with contextlib.suppress(Exception):  # of any kind where the connection is lost; the run continues
            if self._line is None:
                self._line = self._display(content, raw=True, display_id=True)
            else:
                self._line.update(content, raw=True)
