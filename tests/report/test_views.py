"""Views of suites and tasks: curves, final scores, comparisons, diagnostics and notes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from surefoot.report.published import published_curves
from surefoot.report.tables import seed_counts
from surefoot.report.views import file_names, improvement_matrix
from tests.report.support import STEPS, make_run, not_evaluated_run, views_of

NAN = math.nan


def test_curve_of_runs_with_different_intervals_has_their_shared_steps(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.1, 0.2, 0.3)], seeds=[0], steps=(0, 5_000, 10_000, 15_000), total=20_000)
    make_run(tmp_path / "b", [(0.0, 0.8, 0.9)], seeds=[1])
    (view,) = views_of(tmp_path)
    (line,) = view.lines
    assert line.env_steps.tolist() == [0, 10_000, 20_000]
    assert line.runs.tolist() == [2, 2, 1]  # the first has ended before the last point
    assert any("the curve shows 3 of 5" in note for note in view.notes)


def test_runs_of_one_label_are_seeds_of_one_curve(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4)], seeds=[0])
    make_run(tmp_path / "b", [(0.0, 0.4, 0.8)], seeds=[1])
    (view,) = views_of(tmp_path)
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


def test_notes_name_missing_evaluations_and_unfinished_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4), (0.1, NAN, 0.5)], total=40_000)
    (view,) = views_of(tmp_path)
    notes = "\n".join(view.notes)
    assert "a is unfinished (stopped): evaluated up to env step 20,000 of 40,000" in notes
    assert "seed 1 lacks 1 of 3 evaluations" in notes
    assert view.lines[0].runs.tolist() == [2, 1, 2]
    assert view.table[0]["unfinished"] == 1


def test_notes_name_repeated_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seeds=(0, 1))
    make_run(tmp_path / "b", seeds=(1, 2))
    (view,) = views_of(tmp_path)
    assert "sac: seed 1 of cheetah-run counts 2 times" in view.notes


def test_suite_view_has_the_tasks_of_all_algorithms(tmp_path: Path) -> None:
    for name, tasks in (
        ("sac", ("cheetah-run", "walker-run", "dog-run")),
        ("crossq", ("cheetah-run", "walker-run")),
        ("redq", ("dog-run",)),
    ):
        for task in tasks:
            make_run(tmp_path / f"{name}-{task}", task=task, preset=name)
    suite, *views = views_of(tmp_path)
    assert suite.tasks == ("cheetah-run", "walker-run")
    assert [curve.label for curve in suite.names.values()] == ["crossq", "sac"]
    assert any(note.endswith("algorithms without scores on all of them: redq UTD 20") for note in suite.notes)
    assert [view.title for view in views] == ["cheetah-run", "dog-run", "walker-run"]
    assert suite.improvement[0]["probability of improvement"].value == 0.5  # the same scores


def test_suite_curve_stops_where_a_task_has_no_score(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4)], task="cheetah-run")
    make_run(tmp_path / "b", [(0.0, 0.4)], task="walker-run")
    suite = views_of(tmp_path)[0]
    assert suite.lines[0].env_steps.tolist() == [0, 10_000]
    assert suite.table[0]["env steps"] == 10_000


def test_notes_name_runs_without_evaluation(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    not_evaluated_run(tmp_path / "header")
    (not_evaluated_run(tmp_path / "nothing") / "evaluations.csv").unlink()
    (tmp_path / "nothing" / ".lock").touch()
    (view,) = views_of(tmp_path)
    assert [line.label for line in view.lines] == ["sac"]
    assert sum(note.endswith("is unfinished (stopped): not evaluated yet") for note in view.notes) == 2


def test_diverged_seed_is_noted_and_other_seeds_are_kept(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0.0, 0.2, 0.4), (0.1, NAN, NAN)])
    (view,) = views_of(tmp_path)
    assert view.table[0]["env steps"] == STEPS[-1]
    assert view.finals[0].score.value == pytest.approx(0.4)
    assert any("seed 1 lacks 2 of 3 evaluations" in note for note in view.notes)


def test_algorithms_without_a_common_env_step_are_not_compared(tmp_path: Path) -> None:
    for task in ("cheetah-run", "walker-run"):
        make_run(tmp_path / f"sac-{task}", task=task)
        make_run(tmp_path / f"crossq-{task}", task=task, preset="crossq", steps=(2, 15_000, 20_002))
    suite = views_of(tmp_path)[0]
    assert len(suite.table) == 2
    assert not suite.profiles
    assert any("no comparisons, as no env step has evaluations of every algorithm" in note for note in suite.notes)


def test_comparisons_are_at_a_step_of_all_runs_and_count_their_scores(tmp_path: Path) -> None:
    for task in ("cheetah-run", "walker-run"):
        make_run(tmp_path / f"sac-{task}", [(0.0, 0.2, 0.4), (0.1, NAN, NAN)], task=task)
        for seed, length in enumerate((3, 2, 2)):
            make_run(tmp_path / f"{task}-{seed}", [(0.0, 0.2, 0.9)[:length]], task=task, preset="crossq", seeds=[seed])
    suite = views_of(tmp_path)[0]
    assert {profile.env_steps for profile in suite.profiles} == {STEPS[1]}
    assert [row["env steps"] for row in suite.improvement] == [STEPS[1]]
    assert {profile.label: profile.seeds for profile in suite.profiles} == {"crossq": "3", "sac": "1"}


def test_utds_of_an_algorithm_are_one_family(tmp_path: Path) -> None:
    for utd in (1, 5):
        make_run(tmp_path / f"{utd}", preset="crossq-wn", utd=utd)
    make_run(tmp_path / "sac")
    (view,) = views_of(tmp_path)
    assert [(curve.label, curve.family) for curve in view.names.values()] == [
        ("crossq-wn UTD 1", "crossq-wn"),
        ("crossq-wn UTD 5", "crossq-wn"),
        ("sac UTD 1", "sac"),
    ]
    assert view.families == ["crossq-wn"]


def test_labels_of_a_view_contain_what_differs_there(tmp_path: Path) -> None:
    make_run(tmp_path / "a", preset="crossq-wn", utd=1)
    make_run(tmp_path / "b", preset="crossq-wn", utd=5, task="walker-run")
    assert [[curve.label for curve in view.names.values()] for view in views_of(tmp_path)] == [["crossq-wn"]] * 2


def test_suite_has_the_tasks_with_the_most_runs(tmp_path: Path) -> None:
    for name, tasks in (("sac", ("cheetah-run", "walker-run", "dog-run")), ("crossq", ("dog-stand", "dog-run"))):
        for task in tasks:
            make_run(tmp_path / f"{name}-{task}", task=task, preset=name)
    suite = views_of(tmp_path)[0]
    assert suite.tasks == ("cheetah-run", "dog-run", "walker-run")
    assert suite.num_runs == 6


def test_seed_counts_are_one_text(tmp_path: Path) -> None:
    for name, seeds in (("sac", [0]), ("crossq", [0, 1]), ("redq", [0, 1])):
        make_run(tmp_path / name, [(0.0, 0.2, 0.4)] * len(seeds), preset=name, utd=1)
    (view,) = views_of(tmp_path)
    assert view.seed_counts(view.lines) == "2 seeds (sac: 1)"
    many = {str(i): str(i) for i in range(1, 9)}
    assert seed_counts(many, per_task=True) == "1 to 8 seeds per task"


def test_improvement_matrix_is_antisymmetric(tmp_path: Path) -> None:
    for preset, final in (("sac", 0.4), ("crossq", 0.8)):
        for task in ("cheetah-run", "walker-run"):
            make_run(tmp_path / f"{preset}-{task}", [(0, 0.2, final), (0, 0.1, 0.5)], task=task, preset=preset)
    suite = views_of(tmp_path)[0]
    labels, matrix = improvement_matrix(suite.improvement)
    assert labels == ["crossq", "sac"]
    np.testing.assert_allclose(matrix[0, 1, 0], 0.875)  # 0.8 and 0.5 against 0.4 and 0.5: three wins and a tie
    np.testing.assert_allclose(matrix[0, 1] + matrix[1, 0, [0, 2, 1]], 1.0)
    assert np.isnan(matrix[[0, 1], [0, 1]]).all()


def test_file_names_are_distinct_ignoring_case() -> None:
    names = file_names(["a b", "a/b", "A B", "suite-dmc", "../x", "..."], taken=["suite-dmc"])
    assert len({name.lower() for name in names.values()}) == 6
    assert names["a b"] == "a-b"
    assert all("/" not in name and not name.startswith(".") for name in names.values())


def test_returns_without_a_scale_are_not_aggregated_over_tasks(tmp_path: Path) -> None:
    for task in ("Ant-v5", "Hopper-v5"):
        make_run(tmp_path / task, [(100.0, 2000.0, 3000.0)], task=task, suite="gymnasium")
    views = views_of(tmp_path)
    assert [view.title for view in views] == ["Ant-v5", "Hopper-v5"]
    assert "optimality gap" not in views[0].table[0]


def test_diagnostics_are_means_with_the_extremes_of_seeds(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [(0, 0, 0)], seeds=[0], diagnostics={"critic_weight_norm": 2.0, "q_bias_mean": NAN})
    make_run(tmp_path / "b", [(0, 0, 0)], seeds=[1], diagnostics={"critic_weight_norm": 4.0, "q_bias_mean": NAN})
    (view,) = views_of(tmp_path)
    (drawn,) = view.diagnostics
    assert (drawn.column, drawn.logarithmic) == ("critic_weight_norm", True)
    (line,) = drawn.lines
    assert line.value.tolist() == [3.0, 3.0]
    assert (line.low.tolist(), line.high.tolist()) == ([2.0, 2.0], [4.0, 4.0])


def test_layer_diagnostics_have_one_panel_per_layer(tmp_path: Path) -> None:
    measured = {"critic_weight_norm": 3.0, "critic_weight_norm/head": 1.0, "critic_weight_norm/torso/dense_0": 2.0}
    make_run(tmp_path / "a", diagnostics={**measured, "actor_effective_learning_rate/mean": 0.5})
    make_run(tmp_path / "b", preset="crossq", diagnostics={"critic_weight_norm/head": 4.0})
    (view,) = views_of(tmp_path)
    head, dense, mean = view.layers
    assert head.title == "Critic weight norm, head"
    assert {line.label: line.value.tolist() for line in head.lines} == {"crossq": [4.0, 4.0], "sac": [1.0, 1.0]}
    assert (dense.title, dense.lines[0].value.tolist()) == ("Critic weight norm, torso/dense_0", [2.0, 2.0])
    assert (mean.title, mean.logarithmic) == ("Actor effective learning rate, mean", True)


def test_thinned_diagnostics_keep_the_last_point(tmp_path: Path) -> None:
    path = make_run(tmp_path / "a", [(0, 0, 0)], diagnostics={"critic_weight_norm": 0.0}) / "diagnostics.csv"
    path.write_text("seed,env_steps,critic_weight_norm\n" + "".join(f"0,{step},{step}\n" for step in range(1, 302)))
    (view,) = views_of(tmp_path)
    (drawn,) = view.diagnostics
    assert drawn.lines[0].env_steps[-1] == 301
    assert len(drawn.lines[0].env_steps) <= 200


def test_suite_diagnostics_weight_tasks_equally(tmp_path: Path) -> None:
    make_run(tmp_path / "a", diagnostics={"critic_dead_units": 0.0})
    make_run(tmp_path / "b", [(0, 0, 0)], task="walker-run", diagnostics={"critic_dead_units": 0.5})
    (drawn,) = views_of(tmp_path)[0].diagnostics
    assert drawn.lines[0].value.tolist() == [0.25, 0.25]  # not 0.5 / 3, the mean over seeds
    assert (drawn.lines[0].seeds, drawn.lines[0].high.tolist()) == ("1 to 2", [0.5, 0.5])


def test_published_curves_have_a_source_and_the_scale_of_scores() -> None:
    curves = published_curves({"cheetah-run", "myo-reach"})
    assert {curve.task for curve in curves} == {"cheetah-run", "myo-reach"}
    assert all(curve.source and 0.0 <= max(curve.score) <= 1.0 and curve.num_seeds > 1 for curve in curves)
    assert any(curve.label == "XQC UTD 2" for curve in curves)
