"""The ``surefoot card`` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.options import RunPath
from surefoot.streams import emit

_OUT = tyro.conf.arg(
    aliases=("-o",), metavar="FILE", help_behavior_hint="(default: MODEL_CARD.md in the run directory)"
)


@dataclass(frozen=True)
class Card:
    """Write a run's model card in Markdown: training, scores with intervals, usage and limits."""

    path: RunPath
    """Run directory, finished or not."""
    out: Annotated[Path | None, _OUT] = None
    """File to write; an existing one is replaced."""

    imports = ("surefoot.model_card",)

    def run(self) -> int:
        """Write the card and print its path; return the exit code."""
        from surefoot.model_card import write_model_card
        from surefoot.text import printable

        emit(printable(write_model_card(self.path, self.out)))
        return 0
