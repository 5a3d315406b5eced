"""Looks of a report: one colour, marker and dash per label, and Matplotlib's settings and font."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The first three are Okabe and Ito's. With each kind of colour vision, any two differ by at least 0.08 in OKLab; on
# white and on the page's dark ground, each has a contrast of at least 2.2.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#AF69FF",
    "#824F6C",
    "#2EBAFD",
    "#B9B31B",
    "#C10105",
    "#FF89BB",
    "#7E00FC",
)
_DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "x": "X",
    "triangle-down": "v",
    "cross": "P",
    "star": "*",
    "circle-open": "o",
    "square-open": "s",
}

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
        style = {"color": self.colour, "linestyle": _DASHES[self.dash], "marker": _MARKERS[self.marker]}
        return style | ({"markerfacecolor": "white"} if self.marker.endswith("-open") else {})


def make_styles(shown: Sequence[Sequence[str]]) -> dict[str, Style]:
    """Return a style for each label, the same in all views.

    Ten labels have different colours and markers, and 40 different styles; of more, those of one view where possible.

    Args:
        shown: Labels of each view.
    """
    numbers: dict[str, int] = {}
    for label in (label for own in shown for label in own):
        taken = {numbers.get(other) for own in shown if label in own for other in own}
        numbers.setdefault(label, next(i for i in itertools.count() if i not in taken))
    dashes, markers = list(_DASHES), list(_MARKERS)
    return {
        label: Style(_COLOURS[i % 10], dashes[i // 10 % 4], markers[(i + i // 10) % 10]) for label, i in numbers.items()
    }


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
