"""Tables as rows of cells, rendered as HTML, CSV and LaTeX, and the format of their cells."""

from __future__ import annotations

import csv
import html
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Row = dict[str, Any]
"""Cells by the names of their columns; None is a missing number."""

# Labels with another number of seeds that are named.
_MAX_OTHERS = 3

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


@dataclass(frozen=True)
class Number:
    """A value, optionally with its interval; NaN is printed as a dash."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Return the value as in a table: three decimals of a score between 0 and 1, fewer of a return."""
        if math.isnan(self.value):
            return "–"
        value = _digits(self.value)
        return (
            value if self.low is None or self.high is None else f"{value} [{_digits(self.low)}, {_digits(self.high)}]"
        )


def _digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10.0 else f"{value:.1f}" if abs(value) < 1000.0 else f"{value:,.0f}"


def counted(count: int | str, noun: str) -> str:
    """Return "1 seed", "3 seeds", "3 to 5 seeds"."""
    return f"{count} {noun}{'' if str(count) == '1' else 's'}"


def count_range(counts: Sequence[int]) -> str:
    """Return "5", or "3 to 5" where the counts differ."""
    return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"


def seed_counts(counts: Mapping[str, str], per_task: bool) -> str:
    """Return "5 seeds", "5 seeds (sac: 3)" where few labels have other numbers, else "2 to 5 seeds"."""
    if not counts:
        return ""
    numbers = [int(number) for text in counts.values() for number in text.split(" to ")]
    usual, _ = max(Counter(counts.values()).items(), key=lambda item: (item[1], int(item[0].split()[-1])))
    others = [f"{label}: {count}" for label, count in counts.items() if count != usual]
    few = len(others) <= _MAX_OTHERS
    text = counted(usual if few else f"{min(numbers)} to {max(numbers)}", "seed") + (" per task" if per_task else "")
    return f"{text} ({', '.join(others)})" if others and few else text


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"


def joined(values: Iterable[Any]) -> str:
    """Return the distinct values in ascending order."""
    return ", ".join(str(value) for value in sorted(set(values)))


def to_html(rows: Sequence[Row]) -> str:
    """Return a table, followed by the columns that have the same value in every row; all text is escaped."""
    if not rows:
        return "<p>nothing to show</p>"
    equal = {
        name: _text(value)
        for name, value in list(rows[0].items())[1:]
        if len(rows) > 1 and all(_text(row.get(name)) == _text(value) for row in rows)
    }
    rows = [{name: value for name, value in row.items() if name not in equal} for row in rows]
    head = "".join(f"<th{_html_class(value)}>{html.escape(name)}</th>" for name, value in rows[0].items())
    cells = ("".join(f"<td{_html_class(value)}>{_html_text(value)}</td>" for value in row.values()) for row in rows)
    body = "".join(f"<tr>{own}</tr>" for own in cells)
    note = html.escape("; ".join(f"{name}: {value}" for name, value in equal.items()))
    table = f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    return f"{table}<p class='caption'>All rows: {note}.</p>" if equal else table


def to_csv(rows: Sequence[Row]) -> str:
    """Return comma-separated values; a number with an interval takes three columns, a missing one empty cells."""
    text = io.StringIO()
    flat = [_flat(row) for row in rows]
    with_interval = {
        name for row in rows for name, value in row.items() if isinstance(value, Number) and value.low is not None
    }
    names = [
        column
        for name in dict.fromkeys(name for row in rows for name in row)
        for column in (name, *((f"{name} low", f"{name} high") if name in with_interval else ()))
    ]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def to_latex(rows: Sequence[Row]) -> str:
    """Return a tabular in the style of booktabs; a cell that a row lacks is empty."""
    if not rows:
        return "% nothing to show\n"
    kinds = {name: value for row in rows for name, value in row.items()}
    columns = "".join("r" if isinstance(value, int | Number | None) else "l" for value in kinds.values())
    cells = (kinds, *([row.get(name, "") for name in kinds] for row in rows))
    lines = [" & ".join(map(_latex, own)) + r" \\" for own in cells]
    inside = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join(("% needs \\usepackage{booktabs}", *inside, r"\end{tabular}", ""))


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _html_text(value: Any) -> str:
    """Return an escaped text that is broken before the interval only."""
    number, bracket, interval = html.escape(_text(value)).partition(" [")
    return f"{number} <span>[{interval}</span>" if isinstance(value, Number) and bracket else html.escape(_text(value))


def _html_class(value: Any) -> str:
    return " class='number'" if isinstance(value, int | Number | None) else ""


def _flat(row: Row) -> Row:
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, Number):
            flat[name] = _finite(value.value)
            if value.low is not None:
                flat |= {f"{name} low": _finite(value.low), f"{name} high": _finite(value.high)}
        else:
            flat[name] = value
    return flat


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _latex(value: Any) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in _text(value) if letter.isprintable())
