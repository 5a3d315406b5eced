"""Success in evaluations, training logs, displays and model cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.cli.display import solved_text
from surefoot.tasks import Task, get_task
from surefoot.training.api import _reported_success
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.evaluation import EvaluationResult, Evaluator
from surefoot.training.events import EvaluationDone, RunFinished
from tests import traits
from tests.report.support import make_run
from tests.training.recording import Recording
from tests.training.small import small


def towards_goal(observation: np.ndarray) -> np.ndarray:
    return np.sign(observation[..., 1:2] - observation[..., :1]).astype(np.float32)


def away_from_goal(observation: np.ndarray) -> np.ndarray:
    return -towards_goal(observation)


def evaluate(task: Any, act: Any, has_success: bool = False) -> tuple[Task, EvaluationResult]:
    resolved = get_task(task)
    with Evaluator(resolved, (0, 1), 4) as evaluator:
        return resolved, evaluator.run(act, has_success)


@pytest.mark.parametrize("task", [traits.Reach, traits.ReportsOnlySuccess])
def test_reported_success_is_evaluated_and_the_score_stays_the_return(task: Any) -> None:
    resolved, result = evaluate(task, towards_goal)
    assert result.success_any is not None
    assert result.success_any.all()
    assert result.success_last is not None
    assert result.success_last.all()
    np.testing.assert_array_equal(result.scores(resolved), result.returns)


def test_environment_that_reports_only_success_has_zero_success_once_it_reported_any() -> None:
    _, silent = evaluate(traits.ReportsOnlySuccess, away_from_goal)
    far = silent.success_any
    _, result = evaluate(traits.ReportsOnlySuccess, away_from_goal, has_success=True)
    assert result.success_last is not None
    assert not result.success_last.any()
    assert far is None or far.any()  # an episode may start at its goal


def test_environment_without_report_has_no_success() -> None:
    _, result = evaluate(traits.ReportsNothing, towards_goal)
    assert (result.success_any, result.success_last, result.first_success) == (None, None, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[surefoot.Run, Recording]:
    observer = Recording()
    return surefoot.train(
        traits.Reach,
        algorithm=small(surefoot.crossq_wn(utd=2)),
        env_steps=120,
        evaluate_every=60,
        log_every=30,
        num_seeds=2,
        replay_capacity=150,
        out=tmp_path_factory.mktemp("success") / "run",
        observer=observer,
    ), observer


def test_run_records_success(run: tuple[surefoot.Run, Recording]) -> None:
    trained, observer = run
    evaluations, training = trained.evaluations(), trained.training()
    for name in ("success_any", "success_last"):
        assert set(evaluations[name].tolist()) <= {0.0, 1.0}
    assert (evaluations["success_any"] >= evaluations["success_last"]).all()
    np.testing.assert_array_equal(evaluations["score"], evaluations["return"])
    np.testing.assert_array_equal(np.isnan(training["episode_success"]), training["episodes"] == 0)
    assert (training["episodes"] > 0).any()
    (finished,) = (event for event in observer.events if isinstance(event, RunFinished))
    last = evaluations["env_steps"] == 120
    for seed in (0, 1):
        own = last & (evaluations["seed"] == seed)
        assert finished.final.successes[seed] == evaluations["success_any"][own].mean()
        assert finished.final.last_successes[seed] == evaluations["success_last"][own].mean()
    assert all(event.successes is not None for event in observer.events if isinstance(event, EvaluationDone))


def test_success_reported_in_training_is_known_to_later_evaluations(tmp_path: Path) -> None:
    """Of an environment that reports only success, played by a policy without any."""
    curves = [(0.0, 0.0)]
    assert not _reported_success(make_run(tmp_path / "silent", curves))
    assert _reported_success(make_run(tmp_path / "solved", curves, solved=[(0.0, 0.0)]))
    assert not _reported_success(tmp_path)


def test_model_card_has_success(run: tuple[surefoot.Run, Recording]) -> None:
    card = (run[0].path / "MODEL_CARD.md").read_text()
    assert "| solved |" in card
    assert "| solved at the end |" in card


def test_saved_policy_is_evaluated_with_success(run: tuple[surefoot.Run, Recording]) -> None:
    _, result = surefoot.evaluate(run[0].path, task=traits.Reach, episodes=5)
    evaluations = run[0].evaluations()
    last = evaluations["env_steps"] == 120
    np.testing.assert_array_equal(result.success_last.reshape(-1), evaluations["success_last"][last])


def test_whether_success_is_reported_is_part_of_the_checkpoint() -> None:
    host = HostState.start(np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32))
    assert host.take_interval().solved is None
    host.has_success, host.interval_solved[:] = True, (1, 2)
    restored = HostState.restore(host.to_arrays(), host.counters())
    restored.check(2, 1, 3, 1)
    assert restored.take_interval().solved.tolist() == [1, 2]
    assert restored.take_interval().solved.tolist() == [0, 0]


def test_success_at_the_end_is_printed_where_it_differs() -> None:
    assert solved_text((0.5, 1.0), (0.5, 1.0)) == "75%"
    assert solved_text((0.5, 1.0), (0.5, 0.5)) == "75% (at the end 50%)"


def test_report_has_a_panel_and_a_column_of_success(run: tuple[surefoot.Run, Recording], tmp_path: Path) -> None:
    from tests.report.support import make_run, views_of

    make_run(tmp_path / "other", preset="crossq", diagnostics={"critic_weight_norm": 1.0})
    assert [own.column for view in views_of(tmp_path) for own in view.diagnostics] == ["critic_weight_norm"]
    assert "solved at the end" not in views_of(tmp_path)[-1].table[0]
    (view,) = views_of(run[0].path)
    panel = view.diagnostics[0]
    assert (panel.column, panel.lines[0].env_steps.tolist()) == ("solved_at_end", [0, 60, 120])
    evaluations = run[0].evaluations()
    expected = evaluations["success_last"][evaluations["env_steps"] == 120].mean()
    assert panel.lines[0].value[-1] == view.table[0]["solved at the end"].value == expected
