"""How a label is drawn: the same in every figure, and told apart by more than its colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Okabe and Ito's palette, which people with any colour vision tell apart; yellow is left out, too pale on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
_MATPLOTLIB_DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
_MATPLOTLIB_MARKERS = dict(zip(_MARKERS, "osD^xP*", strict=True))


@dataclass(frozen=True)
class Style:
    """Plotly's names for a colour, a dash and a marker."""

    colour: str
    dash: str
    marker: str

    @property
    def matplotlib(self) -> dict[str, Any]:
        """The same for Matplotlib's ``plot``."""
        return {
            "color": self.colour,
            "linestyle": _MATPLOTLIB_DASHES[self.dash],
            "marker": _MATPLOTLIB_MARKERS[self.marker],
        }


def make_styles(labels: Iterable[str]) -> dict[str, Style]:
    """Return a style for each label.

    A colour comes again after seven labels, with another dash and another marker: 35 lines differ, and 49 points.
    """
    return {label: Style(_COLOURS[i % 7], _DASHES[i % 5], _MARKERS[(i + i // 7) % 7]) for i, label in enumerate(labels)}
