"""From run directories to a report: what is read, how it is named, what is told, what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.cli.main import main
from surefoot.errors import RunFailure, UserError
from surefoot.report import drawers
from surefoot.report.comparisons import improvement_matrix
from surefoot.report.diagnostics import make_diagnostics, make_layers
from surefoot.report.figures import draw, make_jobs
from surefoot.report.labels import label_notes, label_runs
from surefoot.report.published import published_curves
from surefoot.report.report import make_report
from surefoot.report.runs import load_runs
from surefoot.report.settings import Settings
from surefoot.report.styles import make_styles
from surefoot.report.tables import to_csv, to_html, to_latex
from surefoot.report.views import make_views
from surefoot.report.wording import Number, file_names
from surefoot.runs import RunDirectory
from tests.report.support import STEPS, make_run

QUICK = Settings(resamples=50)
NAN = math.nan


def labels(*paths: Path) -> list[str]:
    return list(label_runs(load_runs(paths)))


def test_scores_are_means_over_episodes_by_seed(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seeds=(7, 3))
    (run,) = load_runs([tmp_path])
    assert run.seeds == (7, 3)
    np.testing.assert_array_equal(run.env_steps, STEPS)
    np.testing.assert_allclose(run.scores, [[0.0, 0.2, 0.4], [0.1, 0.3, 0.5]], atol=1e-12)
    np.testing.assert_array_equal(run.wall_seconds, [0, 100, 200])
    assert run.finished
    assert run.env_steps_per_second == 2 * 20_000 / 200


def test_a_run_found_twice_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    assert len(load_runs([tmp_path, tmp_path / "a"])) == 1


def test_labels_say_as_much_as_tells_curves_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    make_run(tmp_path / "2", preset="crossq-wn", utd=1)
    assert labels(tmp_path) == ["crossq-wn", "sac"]
    make_run(tmp_path / "3", preset="crossq-wn", utd=5)
    assert labels(tmp_path) == ["crossq-wn, UTD 1", "crossq-wn, UTD 5", "sac"]
    make_run(tmp_path / "4", preset="crossq-wn", utd=5, weight_constraint=None)
    assert labels(tmp_path) == [
        "crossq-wn, UTD 1, weight_constraint=UnitNorm",
        "crossq-wn, UTD 5, weight_constraint=UnitNorm",
        "crossq-wn, UTD 5, weight_constraint=none",
        "sac",
    ]


def test_networks_are_told_where_they_differ_between_utds(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="crossq-wn", utd=1)
    narrow = dataclasses.replace(surefoot.crossq_wn().critic, widths=(128, 128))
    make_run(tmp_path / "2", preset="crossq-wn", utd=5, critic=narrow)
    assert labels(tmp_path) == ["crossq-wn, UTD 1, critic.widths=512x512", "crossq-wn, UTD 5, critic.widths=128x128"]


def test_what_a_preset_sets_by_its_utd_is_no_difference(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="bro", utd=2)
    make_run(tmp_path / "2", preset="bro", utd=10)
    assert labels(tmp_path) == ["bro, UTD 2", "bro, UTD 10"]


def test_a_long_label_becomes_a_number_that_a_remark_explains(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    make_run(tmp_path / "2", preset="sac", discount=0.9, batch_size=64, policy_delay=7, warmup_transitions=300)
    groups = label_runs(load_runs([tmp_path]))
    assert list(groups) == ["sac #1", "sac #2"]
    assert label_notes(groups) == [
        "sac #1: batch_size=256, discount=none, policy_delay=1, warmup_transitions=10000",
        "sac #2: batch_size=64, discount=0.9, policy_delay=7, warmup_transitions=300",
    ]


def test_descriptions_of_another_version_are_kept_apart_and_told(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    path = make_run(tmp_path / "2", preset="sac") / "config.json"
    config = json.loads(path.read_text())
    config["algorithm"]["of_long_ago"] = config["algorithm"].pop("update_order")
    path.write_text(json.dumps(config))
    groups = label_runs(load_runs([tmp_path]))
    assert list(groups) == ["sac #1", "sac #2"]
    assert all("has other fields" in line for line in label_notes(groups))


def test_a_warm_start_is_another_curve(tmp_path: Path) -> None:
    make_run(tmp_path / "1", preset="sac")
    path = make_run(tmp_path / "2", preset="sac") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "warm_start": {"source": "runs/dog"}}))
    assert len(labels(tmp_path)) == 2


def test_runs_at_different_intervals_are_drawn_where_all_of_them_stand(tmp_path: Path) -> None:
    """A mean over those that happen to be there would jump to and fro."""
    make_run(tmp_path / "a", [(0.0, 0.1, 0.2, 0.3)], seeds=[0], steps=(0, 5_000, 10_000, 15_000), total=20_000)
    make_run(tmp_path / "b", [(0.0, 0.8, 0.9)], seeds=[1])
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    (line,) = view.lines
    assert line.env_steps.tolist() == [0, 10_000, 20_000]
    assert line.runs.tolist() == [2, 2, 1]  # the first has ended before the last point
    assert any("the curve shows 3 of 5" in note for note in view.notes)


def test_runs_of_one_label_are_seeds_of_one_curve(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4)], seeds=[0])
    make_run(tmp_path / "b", [(0.0, 0.4, 0.8)], seeds=[1])
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    (line,) = view.lines
    assert line.seeds == "2"
    for aggregate in ("IQM", "mean"):  # of two runs they are the same
        found = line.curves[aggregate]
        np.testing.assert_allclose(found.value, [0.0, 0.3, 0.6], atol=1e-12)
        np.testing.assert_allclose(found.low, [0.0, 0.2, 0.4], atol=1e-12)
    assert line.runs.tolist() == [2, 2, 2]
    (row,) = view.table
    assert row["IQM"].value == pytest.approx(0.6)
    assert row["updates per env step"] == "0.5"
    assert row["UTD"] == 1


def test_what_is_missing_or_unfinished_is_told(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4), (0.1, NAN, 0.5)], total=40_000)
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    told = "\n".join(view.notes)
    assert "a is unfinished (stopped): evaluated up to env step 20,000 of 40,000" in told
    assert "seed 1 lacks 1 of 3 evaluations" in told
    assert view.lines[0].runs.tolist() == [2, 1, 2]
    assert view.table[0]["unfinished"] == 1


def test_seeds_that_are_there_twice_are_told(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seeds=(0, 1))
    make_run(tmp_path / "b", seeds=(1, 2))
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert "sac: seed 1 of cheetah-run counts 2 times" in view.notes


def test_a_suite_compares_the_tasks_that_all_have(tmp_path: Path) -> None:
    for name, tasks in (
        ("sac", ("cheetah-run", "walker-run", "dog-run")),
        ("crossq", ("cheetah-run", "walker-run")),
        ("redq", ("dog-run",)),
    ):
        for task in tasks:
            make_run(tmp_path / f"{name}-{task}", task=task, preset=name)
    suite, *tasks = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert suite.tasks == ("cheetah-run", "walker-run")
    assert [line.label for line in suite.lines] == ["crossq", "sac"]
    assert any(note.startswith("redq is left out") for note in suite.notes)
    assert [view.title for view in tasks] == ["cheetah-run", "dog-run", "walker-run"]
    assert suite.improvement[0]["probability of improvement"].value == 0.5  # the same scores


def test_an_aggregate_stops_where_a_task_has_no_score(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4)], task="cheetah-run")
    make_run(tmp_path / "b", [(0.0, 0.4)], task="walker-run")
    suite = make_views(label_runs(load_runs([tmp_path])), QUICK)[0]
    assert suite.lines[0].env_steps.tolist() == [0, 10_000]
    assert suite.table[0]["env steps"] == 10_000


def begun(path: Path) -> Path:
    """Make a run as it stands before its first evaluation."""
    run = make_run(path, preset="crossq")
    (run / "evaluations.csv").write_text((run / "evaluations.csv").read_text().splitlines()[0] + "\n")
    return run


def test_runs_that_have_just_begun_are_told(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    begun(tmp_path / "header")
    (begun(tmp_path / "nothing") / "evaluations.csv").unlink()
    (tmp_path / "nothing" / ".lock").touch()
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert [line.label for line in view.lines] == ["sac"]
    told = [note for note in view.notes if note.endswith("is unfinished (stopped): not evaluated yet")]
    assert len(told) == 2
    assert make_report([tmp_path], tmp_path / "report", QUICK).exists()


def test_only_runs_that_have_just_begun_are_nothing_to_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "a")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "has no evaluation yet, and there is no other run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_diverged_seed_hides_neither_the_others_nor_itself(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4), (0.1, NAN, NAN)])
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert view.table[0]["env steps"] == STEPS[-1]
    assert view.finals[0].score.value == pytest.approx(0.4)
    assert any("seed 1 lacks 2 of 3 evaluations" in note for note in view.notes)


def test_algorithms_without_a_common_env_step_are_not_compared(tmp_path: Path) -> None:
    for task in ("cheetah-run", "walker-run"):
        make_run(tmp_path / f"sac-{task}", task=task)
        make_run(tmp_path / f"crossq-{task}", task=task, preset="crossq", steps=(2, 15_000, 20_002))
    suite = make_views(label_runs(load_runs([tmp_path])), QUICK)[0]
    assert len(suite.table) == 2
    assert not suite.profiles
    assert any("no comparisons, as no env step has evaluations of every algorithm" in note for note in suite.notes)


def test_utds_of_an_algorithm_are_one_family(tmp_path: Path) -> None:
    for utd in (1, 5):
        make_run(tmp_path / f"{utd}", preset="crossq-wn", utd=utd)
    make_run(tmp_path / "sac")
    (view,) = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert [(final.family, final.utd) for final in view.finals] == [("crossq-wn", 1), ("crossq-wn", 5), ("sac", 1)]
    assert view.utd_matters
    assert (make_report([tmp_path], tmp_path / "report", QUICK).parent / "figures" / "cheetah-run-utd.pdf").exists()


def test_improvement_is_one_minus_that_of_the_other(tmp_path: Path) -> None:
    for preset, final in (("sac", 0.4), ("crossq", 0.8)):
        for task in ("cheetah-run", "walker-run"):
            make_run(tmp_path / f"{preset}-{task}", [(0, 0.2, final), (0, 0.1, 0.5)], task=task, preset=preset)
    suite = make_views(label_runs(load_runs([tmp_path])), QUICK)[0]
    labels, matrix = improvement_matrix(suite.improvement)
    assert labels == ["crossq", "sac"]
    np.testing.assert_allclose(matrix[0, 1, 0], 0.875)  # 0.8 and 0.5 against 0.4 and 0.5: three wins and a tie
    np.testing.assert_allclose(matrix[0, 1] + matrix[1, 0, [0, 2, 1]], 1.0)
    assert np.isnan(matrix[[0, 1], [0, 1]]).all()


def test_file_names_differ_even_where_case_does_not_count() -> None:
    names = file_names(["a b", "a/b", "A B", "suite-dmc", "../x", "..."], taken=["suite-dmc"])
    assert len({name.lower() for name in names.values()}) == 6
    assert names["a b"] == "a-b"
    assert all("/" not in name and not name.startswith(".") for name in names.values())


def test_several_processes_draw_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task in ("cheetah-run", "walker-run"):
        make_run(tmp_path / "runs" / task, task=task, diagnostics={"q_bias_mean": 0.5})
    groups = label_runs(load_runs([tmp_path / "runs"]))
    views = make_views(groups, QUICK)
    jobs, styles = make_jobs(views, make_diagnostics(views, groups), {}), make_styles(groups)
    for name in ("one", "several"):
        (tmp_path / name).mkdir()
    draw(tmp_path / "one", jobs, styles, "95% interval")
    monkeypatch.setattr(drawers, "_LEAST_JOBS", 1)
    monkeypatch.setattr(drawers.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    drawers.draw_at_once(tmp_path / "several", jobs, styles, "95% interval")
    one, several = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "several"))
    assert len(one) > 10
    assert several == one
    with pytest.raises(FileNotFoundError):
        drawers.draw_at_once(tmp_path / "missing", jobs, styles, "95% interval")


def test_what_breaks_while_drawing_leaves_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "run")
    page = make_report([tmp_path / "run"], tmp_path / "report", QUICK)
    before = page.read_bytes()
    monkeypatch.setattr("surefoot.report.report.draw_at_once", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(RunFailure, match="full"):
        make_report([tmp_path / "run"], tmp_path / "report", Settings(resamples=60))
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "run"]


def test_scores_without_a_scale_stay_out_of_aggregates(tmp_path: Path) -> None:
    for task in ("Ant-v5", "Hopper-v5"):
        make_run(tmp_path / task, [(100.0, 2000.0, 3000.0)], task=task, suite="gymnasium")
    views = make_views(label_runs(load_runs([tmp_path])), QUICK)
    assert [view.title for view in views] == ["Ant-v5", "Hopper-v5"]
    assert "optimality gap" not in views[0].table[0]


def test_diagnostics_are_means_between_the_extreme_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0, 0, 0)], seeds=[0], diagnostics={"critic_weight_norm": 2.0, "q_bias_mean": NAN})
    make_run(tmp_path / "b", [(0, 0, 0)], seeds=[1], diagnostics={"critic_weight_norm": 4.0, "q_bias_mean": NAN})
    groups = label_runs(load_runs([tmp_path]))
    (drawn,) = make_diagnostics(make_views(groups, QUICK), groups)["cheetah-run"]
    assert (drawn.column, drawn.logarithmic) == ("critic_weight_norm", True)
    (line,) = drawn.lines
    assert line.value.tolist() == [3.0, 3.0]
    assert (line.low.tolist(), line.high.tolist()) == ([2.0, 2.0], [4.0, 4.0])


def test_layers_are_drawn_one_by_one(tmp_path: Path) -> None:
    measured = {"critic_weight_norm": 3.0, "critic_weight_norm/head": 1.0, "critic_weight_norm/torso/dense_0": 2.0}
    make_run(tmp_path / "a", diagnostics={**measured, "actor_effective_learning_rate/mean": 0.5})
    make_run(tmp_path / "b", preset="crossq", diagnostics={"critic_weight_norm/head": 4.0})
    groups = label_runs(load_runs([tmp_path]))
    head, dense, mean = make_layers(make_views(groups, QUICK), groups)["cheetah-run"]
    assert head.title == "Critic weight norm, head"
    assert {line.label: line.value.tolist() for line in head.lines} == {"crossq": [4.0, 4.0], "sac": [1.0, 1.0]}
    assert (dense.title, dense.lines[0].value.tolist()) == ("Critic weight norm, torso/dense_0", [2.0, 2.0])
    assert (mean.title, mean.logarithmic) == ("Actor effective learning rate, mean", True)


def test_a_long_diagnosis_keeps_its_last_point(tmp_path: Path) -> None:
    path = make_run(tmp_path / "a", [(0, 0, 0)], diagnostics={"critic_weight_norm": 0.0}) / "diagnostics.csv"
    path.write_text("seed,env_steps,critic_weight_norm\n" + "".join(f"0,{step},{step}\n" for step in range(1, 302)))
    groups = label_runs(load_runs([tmp_path]))
    (drawn,) = make_diagnostics(make_views(groups, QUICK), groups)["cheetah-run"]
    assert drawn.lines[0].env_steps[-1] == 301
    assert len(drawn.lines[0].env_steps) <= 200


def test_diagnostics_of_a_suite_weigh_tasks_alike(tmp_path: Path) -> None:
    make_run(tmp_path / "a", diagnostics={"critic_dead_units": 0.0})
    make_run(tmp_path / "b", [(0, 0, 0)], task="walker-run", diagnostics={"critic_dead_units": 0.5})
    groups = label_runs(load_runs([tmp_path]))
    (drawn,) = make_diagnostics(make_views(groups, QUICK), groups)["suite-dmc"]
    assert drawn.lines[0].value.tolist() == [0.25, 0.25]  # not 0.5 / 3, the mean over seeds
    assert (drawn.lines[0].seeds, drawn.lines[0].high.tolist()) == ("1 to 2", [0.5, 0.5])


def test_published_curves_name_their_source_and_have_the_scores_scale() -> None:
    curves = published_curves({"cheetah-run", "myo-reach"})
    assert {curve.task for curve in curves} == {"cheetah-run", "myo-reach"}
    assert all(curve.source and 0.0 <= max(curve.score) <= 1.0 and curve.num_seeds > 1 for curve in curves)
    assert any(curve.label == "XQC (published, UTD 2)" for curve in curves)


def test_thirty_five_labels_differ_in_colour_and_dash() -> None:
    styles = make_styles(str(i) for i in range(35))
    assert len({(style.colour, style.dash) for style in styles.values()}) == 35


def test_tables_in_three_forms() -> None:
    rows = [{"name": "a_b & <c>", "IQM": Number(0.5, 0.25, 0.75), "seeds": 3}]
    assert to_csv(rows).splitlines() == ["name,IQM,IQM low,IQM high,seeds", "a_b & <c>,0.5,0.25,0.75,3"]
    assert r"a\_b \& <c> & 0.500 [0.250, 0.750] & 3 \\" in to_latex(rows)
    assert "a_b &amp; &lt;c&gt;" in to_html(rows)


def test_a_report_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("cheetah-run", "walker-run"):
        for preset in ("sac", "crossq-wn"):
            make_run(
                tmp_path / "runs" / f"{preset}-{task}",
                task=task,
                preset=preset,
                diagnostics={"critic_weight_norm": 2.0},
            )
    out = tmp_path / "report"
    assert main(["report", str(tmp_path / "runs"), "-o", str(out), "--resamples", "50"]) == 0
    assert capsys.readouterr().out == f"written to {out / 'index.html'}\n"
    names = {path.name for path in (out / "figures").iterdir()}
    for stem in (
        "suite-dmc-curves",
        "suite-dmc-profile",
        "suite-dmc-improvement",
        "suite-dmc-tasks",
        "cheetah-run-final",
        "cheetah-run-wall-clock",
    ):
        assert {f"{stem}.png", f"{stem}.pdf"} <= names
    assert {"walker-run-diagnostics.pdf", "suite-dmc-diagnostics.png"} <= names
    rows = list(csv.DictReader((out / "tables" / "suite-dmc-aggregates.csv").open()))
    assert [row["algorithm"] for row in rows] == ["crossq-wn", "sac"]
    assert rows[1]["updates per env step"] == "0.5"
    by_task = list(csv.DictReader((out / "tables" / "suite-dmc-by-task.csv").open()))
    assert [row["task"] for row in by_task] == ["cheetah-run", "walker-run"]
    assert float(by_task[0]["sac"]) == pytest.approx(0.45)
    assert len(list(csv.DictReader((out / "tables" / "tasks.csv").open()))) == 4
    assert r"\toprule" in (out / "tables" / "runs.tex").read_text()
    page = (out / "index.html").read_text()
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']https?:", page)
    assert not loaded, "the page needs nothing from elsewhere"
    before = page
    assert main(["report", str(tmp_path / "runs"), "-o", str(out), "--resamples", "50"]) == 0
    assert (out / "index.html").read_text() == before, "the same runs give the same page"


def test_a_hostile_name_is_text_everywhere(tmp_path: Path) -> None:
    make_run(tmp_path / "a", name="</script><script>alert(1)</script>", task="../../x")
    out = make_report([tmp_path / "a"], tmp_path / "report", QUICK).parent
    page = (out / "index.html").read_text()
    assert "<script>alert(1)" not in page
    assert "</script><script>alert" not in page
    assert {path.parent for path in out.rglob("*.png")} == {out / "figures"}


def edited(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def test_mixed_protocols_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seeds=(5, 6))
    edited(tmp_path / "b", resolved={"action_repeat": 1, "discount": 0.99, "agent_steps": 20_000})
    with pytest.raises(UserError, match=r"mixed protocols of sac on cheetah-run: .*action repeat 2.*action repeat 1"):
        label_runs(load_runs([tmp_path]))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "evaluations.csv").write_text("a,b\n1,2\n"), "evaluations.csv has columns a, b, expected"),
        (lambda run: (run / "evaluations.csv").write_bytes(b"\xff\xfe\n"), "not a CSV file"),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (run / "evaluations.csv").read_text().replace("cheetah-run", "dog-run", 1)
            ),
            "evaluations.csv mixes runs: task 'dog-run'",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (run / "evaluations.csv").read_text().replace(",0.0,1000", ",0.0", 1)
            ),
            "line 2 has 14 cells, expected 15",
        ),
        (lambda run: edited(run, resolved={}), "config.json lacks what a run's has"),
        (lambda run: edited(run, seeds=[]), "config.json lacks what a run's has"),
        (
            lambda run: edited(run, resolved={"action_repeat": 0, "discount": 0.99, "agent_steps": 10}),
            "config.json lacks what a run's has",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text(
                (lambda lines: "\n".join([*lines, lines[-1], ""]))((run / "evaluations.csv").read_text().splitlines())
            ),
            "holds an episode of a seed and env step twice",
        ),
        (
            lambda run: (run / "evaluations.csv").write_text((run / "evaluations.csv").read_text()[:-20]),
            "evaluations.csv is truncated: its last row is cut short, and no process is writing it",
        ),
        (lambda run: (run / "diagnostics.csv").write_text("a,b\n1,2\n"), "diagnostics.csv has no column 'env_steps'"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_nothing_is_written(
    spoil: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    spoil(run)  # type: ignore[operator]
    assert main(["report", str(run), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_row_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    log = run / "evaluations.csv"
    log.write_text(log.read_text()[:-20])
    with RunDirectory.open(run).lock():
        (read,) = load_runs([run])
    assert not np.isnan(read.scores).any()  # its seed's other episode of that evaluation is there


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "empty holds no runs"),
        (["run", "-o", "file"], "file: it is a file, expected a folder"),
        (["run", "-o", "mixed"], "mixed is not a report's folder: it has no index.html of a report"),
        (["run", "-o", "other"], "other is not a report's folder: it holds 'mine'"),
        (["run", "--interval", "0"], "interval must be between 0 and 100 percent, got 0%"),
        (["run", "--resamples", "0"], "resamples must be at least 1, got 0"),
    ],
)
def test_impossible_requests_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "mixed" / "figures").mkdir(parents=True)
    (tmp_path / "other" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main(["report", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_starts_no_jax(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    script = (
        "import sys; from surefoot.cli.main import main; "
        f"main(['report', {str(tmp_path / 'run')!r}, '-o', {str(tmp_path / 'out')!r}, '--resamples', '20']); "
        "print(sorted({'jax', 'flax', 'optax', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
