"""Message about resets that a run does not reach."""

from __future__ import annotations

from pathlib import Path

import pytest

import surefoot
from surefoot.algorithms import Algorithm
from surefoot.tasks import get_task
from surefoot.training.config import TrainConfig
from surefoot.training.plan import make_plan, unreached_resets
from tests.training.recording import Recording
from tests.training.small import small


def line(algorithm: Algorithm, env_steps: int) -> str | None:
    """Message of a run on a task with action repeat 2."""
    return unreached_resets(
        algorithm, make_plan(TrainConfig("cheetah-run", algorithm, env_steps=env_steps), get_task("cheetah-run"))
    )


@pytest.mark.parametrize(
    ("algorithm", "env_steps", "message"),
    [
        (surefoot.crossq_wn(), 20_000, None),
        (surefoot.bro(), 2_000_001, None),
        (surefoot.bro(), 2_000_000, "resets not reached: at agent step 2,000,001, of 2,000,000 in this run"),
        (surefoot.bro(), 1_000_001, "resets not reached: at agent step 1,500,001, 2,000,001, of 1,000,001 in this run"),
        (surefoot.bro(utd=2), 15_001, None),
        (
            surefoot.crossq_wn().replace(resets=surefoot.ResetAt((10, 5_001, 5_002))),
            20_000,
            "resets not made: at agent step 10, 5,001, before any update: the first is at 5,001",
        ),
        (
            surefoot.crossq_wn().replace(resets=surefoot.ResetAt((10, 90_000))),
            20_000,
            "resets not reached: at agent step 90,000, of 10,000 in this run; "
            "resets not made: at agent step 10, before any update: the first is at 5,001",
        ),
        (surefoot.sr_sac(), 80_001, None),
        (
            surefoot.sr_sac().replace(resets=surefoot.ResetEvery(grad_steps=2_560_000)),
            90_000,
            "resets not reached: the first, after 2,560,000 grad steps, comes at agent step 90,001, of 90,000 in this "
            "run",
        ),
        # 40,000 agent steps are 80,000 env steps.
        (surefoot.crossq_wn().replace(resets=surefoot.ResetEvery(env_steps=80_000)), 80_002, None),
        (
            surefoot.crossq_wn().replace(resets=surefoot.ResetEvery(env_steps=80_000)),
            80_000,
            "resets not reached: the first, after 80,000 env steps, comes at agent step 40,001, of 40,000 in this run",
        ),
    ],
)
def test_message_lists_unreached_resets(algorithm: Algorithm, env_steps: int, message: str | None) -> None:
    assert line(algorithm, env_steps) == message


def test_last_vector_step_has_no_reset_within(tmp_path: Path) -> None:
    """A reset that is due within a vector step precedes the next one."""
    messages = {}
    for step in (9_985, 9_986):
        algorithm = surefoot.crossq_wn(utd=1).replace(resets=surefoot.ResetAt((step,)))
        config = TrainConfig("cheetah-run", algorithm, env_steps=20_000, num_envs=16)
        messages[step] = unreached_resets(algorithm, make_plan(config, get_task("cheetah-run")))
    expected = (
        "resets not reached: at agent step 9,986, and the last vector step of this run begins with agent step 9,985"
    )
    assert messages == {9_985: None, 9_986: expected}


class StopAtStart(surefoot.Callback):
    def on_start(self, event: object) -> None:
        raise surefoot.StopTraining


def test_message_is_reported_at_the_start(tmp_path: Path) -> None:
    observer = Recording()
    algorithm = small(surefoot.sac(), resets=surefoot.ResetAt((102, 5_000)))
    surefoot.train(
        "probe-constant",
        algorithm=algorithm,
        env_steps=102,
        evaluation_episodes=1,
        out=tmp_path / "run",
        callbacks=[StopAtStart()],
        observer=observer,
    )
    assert "resets not reached: at agent step 5,000, of 102 in this run" in observer.messages
    assert len([line for line in observer.messages if line.startswith("temperature: needs at least")]) == 1
