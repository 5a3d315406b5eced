"""Findings of the short check are messages of a new run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import surefoot
from surefoot.errors import RunFailure, UserError
from surefoot.training import api
from tests import traits
from tests.training.recording import Recording
from tests.training.small import small


@pytest.fixture
def no_check_at_start() -> None:
    """Keep the check."""


class Stops(surefoot.Callback):
    def on_start(self, event: Any) -> None:
        raise surefoot.StopTraining


def messages(task: Any, out: Path, **settings: Any) -> list[str]:
    observer = Recording()
    surefoot.train(
        task,
        algorithm=small(surefoot.crossq_wn(utd=2)),
        env_steps=120,
        num_seeds=2,
        replay_capacity=150,
        evaluation_episodes=1,
        out=out,
        observer=observer,
        callbacks=[Stops()],
        **settings,
    )
    return observer.messages


def test_new_run_has_the_findings_and_a_resumed_one_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = messages(traits.SharedSimulator, tmp_path / "run")
    assert "[shared-state]" in found[0]
    assert found[0].endswith("; --env-workers 2 gives every copy a process of its own")
    assert found[1].startswith("surefoot.check_env explains")
    monkeypatch.setattr(api, "check_at_start", lambda *_, **__: pytest.fail("checked"))
    assert not any(
        "[shared-state]" in line for line in messages(traits.SharedSimulator, tmp_path / "b", skip_check=True)
    )
    observer = Recording()
    surefoot.resume(tmp_path / "run", task=traits.SharedSimulator, observer=observer, callbacks=[Stops()])


@pytest.mark.parametrize(("env_workers", "expected"), [(None, False), (1, False), (2, True)])
def test_check_makes_one_copy_where_every_environment_has_its_process(
    env_workers: int | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Checked(Exception):
        pass

    def check(task: Any, environments: int, *, one_per_process: bool) -> list[str]:
        assert (environments, one_per_process) == (2, expected)
        raise Checked

    monkeypatch.setattr(api, "check_at_start", check)
    with pytest.raises(Checked):
        messages(traits.Reach, tmp_path / "run", env_workers=env_workers)


def test_vector_reward_is_one_line_of_a_failed_run(tmp_path: Path) -> None:
    with pytest.raises(
        RunFailure, match=r"the environment returned a reward of shape \(2,\), expected one number: wrap"
    ):
        surefoot.train(
            traits.VectorReward,
            algorithm=small(surefoot.crossq_wn(utd=2)),
            env_steps=120,
            num_seeds=2,
            replay_capacity=150,
            out=tmp_path / "run",
            observer=Recording(),
            skip_check=True,
        )


def test_environment_that_cannot_be_trained_on_is_rejected_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^task 'tests.traits:VectorReward' cannot be trained on: step.*shape \(2,\)"):
        messages(traits.VectorReward, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
