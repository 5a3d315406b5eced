"""Tables as rows of cells, and the same rows as HTML, CSV and LaTeX."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from typing import Any

from surefoot.report.wording import Number

type Row = dict[str, Any]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
}


def to_html(rows: Sequence[Row]) -> str:
    """Return a table; names that come from files are escaped."""
    if not rows:
        return "<p>nothing to show</p>"
    kinds = [_kind(value) for value in rows[0].values()]
    head = "".join(f"<th{kind}>{html.escape(name)}</th>" for name, kind in zip(rows[0], kinds, strict=True))
    body = "".join(f"<tr>{''.join(_html_cell(value) for value in row.values())}</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def to_csv(rows: Sequence[Row]) -> str:
    """Return comma-separated values; a number with an interval takes three columns."""
    text = io.StringIO()
    flat = [_flat(row) for row in rows]
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def to_latex(rows: Sequence[Row]) -> str:
    """Return a tabular in the style of booktabs."""
    if not rows:
        return "% nothing to show\n"
    numbers = [isinstance(value, int | Number) for value in rows[0].values()]
    columns = "".join("r" if number else "l" for number in numbers)
    lines = [" & ".join(_latex(text(value)) for value in row.values()) + r" \\" for row in rows]
    head = " & ".join(_latex(name) for name in rows[0]) + r" \\"
    inside = "\n".join((rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule"))
    return f"% needs \\usepackage{{booktabs}}\n{inside}\n\\end{{tabular}}\n"


def text(value: Any) -> str:
    """Return a cell for a person."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _html_cell(value: Any) -> str:
    return f"<td{_kind(value)}>{html.escape(text(value))}</td>"


def _kind(value: Any) -> str:
    return " class='number'" if isinstance(value, int | Number) else ""


def _flat(row: Row) -> Row:
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, Number):
            interval = {} if value.low is None else {f"{name} low": value.low, f"{name} high": value.high}
            flat |= {name: value.value} | interval
        else:
            flat[name] = value
    return flat


def _latex(words: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in words if letter.isprintable())
