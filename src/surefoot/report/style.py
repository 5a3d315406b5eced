"""Looks of a report: one colour, dash and marker per label, and Matplotlib's settings and font."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Okabe and Ito's palette, distinguishable with any colour vision; without yellow, which is too pale on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
_DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "x": "x", "cross": "P", "star": "*"}

_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text, as publishers ask
    "savefig.dpi": 200,
}

_FONT = "Surefoot Figures"
# Latin letters, digits, dashes and the minus sign.
_GLYPHS = [*range(0x20, 0x7F), *range(0xA0, 0x250), 0x2013, 0x2014, 0x2026, 0x2212]


@dataclass(frozen=True)
class Style:
    """Plotly's names of a colour, a dash and a marker."""

    colour: str
    dash: str
    marker: str

    @property
    def matplotlib(self) -> dict[str, Any]:
        """The same as arguments of Matplotlib's ``plot``."""
        return {"color": self.colour, "linestyle": _DASHES[self.dash], "marker": _MARKERS[self.marker]}


def make_styles(labels: Iterable[str]) -> dict[str, Style]:
    """Return a style for each label: up to 35 lines are distinct, and up to 49 points."""
    dashes, markers = list(_DASHES), list(_MARKERS)
    return {label: Style(_COLOURS[i % 7], dashes[i % 5], markers[(i + i // 7) % 7]) for i, label in enumerate(labels)}


@contextlib.contextmanager
def matplotlib_style() -> Iterator[None]:
    """Apply the settings and font of a report's figures."""
    import matplotlib

    with _small_font() as families, matplotlib.rc_context({**_SETTINGS, "font.family": families}):
        yield


@contextlib.contextmanager
def _small_font() -> Iterator[list[str]]:
    """Make a copy of Matplotlib's default font with Latin letters only, and yield the font families to use.

    Each PDF embeds the glyphs it uses, so that text stays text. Selecting them among the 6,000 of DejaVu Sans takes
    0.15 s, a sixth of a figure's time; among some hundreds, next to nothing.
    """
    from fontTools import subset  # type: ignore[import-untyped]
    from matplotlib import font_manager

    path = font_manager.findfont("DejaVu Sans", fallback_to_default=True)
    options = subset.Options(layout_features=[], hinting=True, name_IDs=["*"])
    options.drop_tables += ["FFTM"]  # holds a time stamp
    font = subset.load_font(path, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=_GLYPHS)
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = _FONT
    with contextlib.ExitStack() as stack:
        try:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="surefoot-font-"))) / "figures.ttf"
            font.save(copy)
        except OSError:  # no space: the whole font takes longer
            yield ["DejaVu Sans"]
            return
        manager = font_manager.fontManager
        known = list(manager.ttflist)
        manager.addfont(copy)
        try:
            yield [_FONT, "DejaVu Sans"]  # the second for any other letter
        finally:
            manager.ttflist[:] = known
