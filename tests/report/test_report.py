"""Reports as written by ``make_report`` and ``surefoot report``."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from surefoot.cli.main import main
from surefoot.errors import RunFailure
from surefoot.report import figures
from surefoot.report.report import Settings, make_report
from surefoot.report.style import make_styles
from surefoot.report.tables import Number, to_csv, to_html, to_latex
from tests.report.support import QUICK, make_run, not_evaluated_run, views_of

UNTRUSTED_NAME = "</script><script>alert(1)</script> $x_{"
"""Name of an algorithm that is a script in HTML and an error in Matplotlib's math text."""


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.report.report.draw_all", lambda *_: None)


def test_report_has_every_figure_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("cheetah-run", "walker-run"):
        measured = {"critic_weight_norm": 2.0, "critic_weight_norm/head": 1.0} if task == "walker-run" else None
        make_run(tmp_path / "runs" / f"a-{task}", task=task, name=UNTRUSTED_NAME, preset="crossq-wn")
        make_run(tmp_path / "runs" / f"sac-{task}", task=task, diagnostics=measured)
    make_run(tmp_path / "runs" / "sac-2", task="walker-run", utd=2)
    out = tmp_path / "report"
    assert main(["report", str(tmp_path / "runs"), "-o", str(out), "--resamples", "50"]) == 0
    assert capsys.readouterr().out == f"written to {out / 'index.html'}\n"
    suite = ("curves", "final", "profile", "improvement", "tasks", "wall-clock", "diagnostics")
    names = [
        *(f"suite-dmc-{kind}" for kind in suite),
        *(f"{task}-{kind}" for task in ("cheetah-run", "walker-run") for kind in ("curves", "final", "wall-clock")),
        *(f"walker-run-{kind}" for kind in ("utd", "diagnostics", "layers")),
    ]
    expected = {f"{name}.{suffix}" for name in names for suffix in ("png", "pdf")}
    assert {path.name for path in (out / "figures").iterdir()} == expected
    rows = list(csv.DictReader((out / "tables" / "suite-dmc-aggregates.csv").open()))
    assert [row["algorithm"] for row in rows] == [f"{UNTRUSTED_NAME} UTD=5", "sac UTD 1"]
    assert rows[1]["updates per env step"] == "0.5"
    by_task = list(csv.DictReader((out / "tables" / "suite-dmc-by-task.csv").open()))
    assert [row["task"] for row in by_task] == ["cheetah-run", "walker-run"]
    assert float(by_task[0]["sac UTD 1"]) == pytest.approx(0.45)
    assert len(list(csv.DictReader((out / "tables" / "tasks.csv").open()))) == 5
    assert r"\toprule" in (out / "tables" / "runs.tex").read_text()
    page = (out / "index.html").read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']https?:", page), "not self-contained"
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert [view["name"] for view in data["views"]] == ["suite-dmc", "cheetah-run", "walker-run"]
    assert data["views"][0]["lines"][1]["curves"]["IQM"]["value"] == [0.05, 0.25, 0.45]
    assert "<script>alert(1)" not in page
    assert "</script><script>alert" not in page


@pytest.mark.usefixtures("no_figures")
def test_equal_runs_give_an_equal_page(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    pages = [make_report([tmp_path / "run"], tmp_path / "report", QUICK).read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.usefixtures("no_figures")
def test_default_view_is_the_suite_or_else_the_task_with_the_most_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "a", task="Ant-v5", suite="gymnasium", seeds=[0, 1])
    make_run(tmp_path / "runs" / "b", [(0, 0, 0)] * 3, task="Hopper-v5", suite="gymnasium")
    make_run(tmp_path / "runs" / "c", task="Walker2d-v5", suite="gymnasium", seeds=[0, 1])
    for title, suite, tasks in (
        ("Hopper-v5", "dmc", ()),
        ("DM Control, 2 tasks", "dmc", ("dog-run", "dog-stand")),
        ("MyoSuite, 3 tasks", "myosuite", ("myo-reach", "myo-pose", "myo-key-turn")),
    ):
        for task in tasks:
            make_run(tmp_path / "runs" / task, task=task, suite=suite)
        page = make_report([tmp_path / "runs"], tmp_path / "report", QUICK).read_text()
        assert re.findall("<option value='[0-9]+' selected>([^<]*)<", page) == [title]


@pytest.mark.usefixtures("no_figures")
def test_report_of_runs_without_evaluation_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    not_evaluated_run(tmp_path / "a")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "has no evaluation yet, and there is no other run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    make_run(tmp_path / "b")
    assert make_report([tmp_path], tmp_path / "out", QUICK).exists()


@pytest.mark.slow
def test_figures_of_several_processes_equal_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task in ("Ant-v5", "Hopper-v5"):
        make_run(tmp_path / "runs" / task, task=task, suite="gymnasium", diagnostics={"q_bias_mean": 0.5})
    views, styles = views_of(tmp_path / "runs"), make_styles([["sac"]])
    for name in ("one", "several"):
        (tmp_path / name).mkdir()
    figures.draw(tmp_path / "one", views, styles, "95% intervals")
    monkeypatch.setattr(figures, "_MIN_VIEWS", 1)
    monkeypatch.setattr(figures, "usable_cores", lambda: 2)
    figures.draw_all(tmp_path / "several", views, styles, "95% intervals")
    one, several = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "several"))
    assert len(one) == 16
    assert several == one
    with pytest.raises(FileNotFoundError):
        figures.draw_all(tmp_path / "missing", views, styles, "95% intervals")


@pytest.mark.usefixtures("no_figures")
def test_failure_while_drawing_keeps_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run")
    page = make_report([tmp_path / "run"], tmp_path / "report", QUICK)
    before = page.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr("surefoot.report.report.draw_all", fail)
    with pytest.raises(RunFailure, match="full"):
        make_report([tmp_path / "run"], tmp_path / "report", Settings(resamples=60))
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "run"]


def test_styles_of_labels_are_distinct() -> None:
    labels = [str(i) for i in range(40)]
    styles = make_styles([labels]).values()
    assert len({(style.colour, style.marker, style.dash) for style in styles}) == 40
    ten = make_styles([labels[:10]]).values()
    assert len({style.colour for style in ten}) == len({style.marker for style in ten}) == 10


def test_labels_of_a_view_have_distinct_colours_where_others_are_more() -> None:
    styles = make_styles([[str(i) for i in range(10)], ["0", "10", "11"]])
    assert len({styles[label].colour for label in ("0", "10", "11")}) == 3


def test_styles_have_equivalents_in_matplotlib() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    drawn = [axes.plot([0, 1], **style.matplotlib)[0] for style in make_styles([list("0123456789")]).values()]
    assert len({(line.get_marker(), line.get_markerfacecolor()) for line in drawn}) == 10


def test_columns_equal_in_all_rows_are_a_line_of_text() -> None:
    rows = [{"name": name, "IQM": Number(value), "seeds": 3} for name, value in (("a", 0.5), ("b", 0.25))]
    assert "<th>name</th><th class='number'>IQM</th></tr>" in to_html(rows)
    assert "All rows: seeds: 3." in to_html(rows)


def test_tables_as_csv_latex_and_html() -> None:
    rows = [{"name": "a_b & <c>", "IQM": Number(0.5, 0.25, 0.75), "seeds": 3}]
    assert to_csv(rows).splitlines() == ["name,IQM,IQM low,IQM high,seeds", "a_b & <c>,0.5,0.25,0.75,3"]
    assert r"a\_b \& <c> & 0.500 [0.250, 0.750] & 3 \\" in to_latex(rows)
    assert "a_b &amp; &lt;c&gt;" in to_html(rows)


def test_latex_columns_are_those_of_all_rows() -> None:
    rows = [{"task": "a", "mean": Number(0.5)}, {"task": "b", "mean": Number(0.7), "solved": Number(0.25)}]
    lines = to_latex(rows).splitlines()
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert [line for line in lines if "&" in line] == [
        r"task & mean & solved \\",
        r"a & 0.500 &  \\",
        r"b & 0.700 & 0.250 \\",
    ]


def test_missing_numbers_are_empty_cells() -> None:
    rows = [{"name": "a", "IQM": Number(nan), "parameters": None}, {"name": "b", "IQM": Number(0.5, 0.25, 0.75)}]
    assert to_csv(rows).splitlines() == ["name,IQM,IQM low,IQM high,parameters", "a,,,,", "b,0.5,0.25,0.75,"]
    assert "a & – & – \\\\" in to_latex(rows).replace("--", "–")
    assert "<td class='number'>–</td><td class='number'>–</td>" in to_html(rows[:1])


@pytest.mark.usefixtures("no_figures")
def test_curves_and_profiles_are_tables_of_numbers(tmp_path: Path) -> None:
    for task in ("cheetah-run", "walker-run"):
        make_run(tmp_path / "runs" / task, ((0.0, nan, 0.4), (0.1, nan, 0.5)), task=task)
    make_report([tmp_path / "runs"], tmp_path / "report", QUICK)
    tables = tmp_path / "report" / "tables"
    curves = pd.read_csv(tables / "suite-dmc-curves.csv")
    assert curves["env steps"].tolist() == [0, 20_000]
    assert curves["IQM"].tolist() == pytest.approx([0.05, 0.45])
    assert (curves["IQM low"] <= curves["IQM"]).all()
    assert curves["runs"].tolist() == [4, 4]
    profiles = pd.read_csv(tables / "suite-dmc-profiles.csv")
    assert profiles["fraction of runs above it"].iloc[[0, -1]].tolist() == [1.0, 0.0]
    assert len(pd.read_csv(tables / "walker-run-curves.csv")) == 2
    text = {"algorithm", "run", "task", "seeds", "state", "wall-clock", "wall-clock per run", "device", "protocol"}
    for path in (path for path in tables.glob("*.csv") if not path.stem.endswith("settings")):
        table = pd.read_csv(path)
        texts = {name for name in table if not pd.api.types.is_numeric_dtype(table[name])}
        assert texts <= text, path.name


def test_invalid_requests_are_reported_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "mixed" / "figures").mkdir(parents=True)
    (tmp_path / "other" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in (
        ([], "expected one or more run directories"),
        (["missing"], "missing does not exist"),
        (["empty"], "empty contains no runs"),
        (["run", "-o", "file"], "file: it is a file, expected a folder"),
        (["run", "-o", "mixed"], "mixed is not a report's folder: it has no index.html of a report"),
        (["run", "-o", "other"], "other is not a report's folder: it contains 'mine'"),
        (["run", "--interval", "0"], "interval must be between 0 and 100 percent, got 0%"),
        (["run", "--resamples", "0"], "resamples must be at least 1, got 0"),
        (["run", "--seed", "-1"], "seed must be at least 0, got -1"),
    ):
        assert main(["report", *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before


def test_report_does_not_import_jax(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    script = (
        "import sys, surefoot.report.report as r; from surefoot.cli.main import main; r.draw_all = lambda *_: None; "
        f"main(['report', {str(tmp_path / 'run')!r}, '-o', {str(tmp_path / 'out')!r}, '--resamples', '20']); "
        "print(sorted({'jax', 'flax', 'optax', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
