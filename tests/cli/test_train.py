"""``train`` and ``resume``: what reaches the library, and what an outcome means for the exit code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from surefoot.algorithms.presets import get_preset
from surefoot.cli.main import main
from surefoot.cli.train import Train
from surefoot.errors import RunFailure, UserError
from surefoot.training.config import TrainConfig

from .conftest import PATH, FakeApi


def test_train_passes_the_defaults_of_a_run(api: FakeApi) -> None:
    assert main(["train", "cheetah-run"]) == 0
    ((name, task, options),) = api.calls
    config = TrainConfig("cheetah-run", get_preset("crossq-wn"))
    expected = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    assert (name, task) == ("train", expected.pop("task"))
    assert options == expected | {"callbacks": []}


def test_every_setting_of_a_run_is_an_option() -> None:
    settings = {field.name for field in dataclasses.fields(TrainConfig)}
    assert settings <= {field.name for field in dataclasses.fields(Train)}


def test_train_passes_what_was_given(api: FakeApi) -> None:
    line = (
        "train dog-run --algorithm sac --utd 5 --batch-size 64 --policy-delay 2 --warmup-transitions 700 "
        "--discount 0.9 --action-repeat 4 --learning-rate 5e-4 --num-seeds 10 --env-steps 1_000_000 --seed 7 "
        "--evaluate-every 10 --evaluation-episodes 2 --checkpoint-every 20 --log-every 30 --diagnose-every 40 "
        "--precision bf16 --overlap --curvature --replay-capacity 9_000 --env-workers 0 --out runs/dog --overwrite "
        "--init-from runs/cat --init-replay --prefill D4RL/dog/human-v0"
    )
    assert main(line.split()) == 0
    ((_, task, options),) = api.calls
    algorithm = options.pop("algorithm")
    assert task == "dog-run"
    assert algorithm.name == "sac"
    assert algorithm.critic_optimizer.learning_rate == algorithm.actor_optimizer.learning_rate == 5e-4
    names = ("utd", "batch_size", "policy_delay", "warmup_transitions", "discount", "action_repeat")
    assert [getattr(algorithm, name) for name in names] == [5, 64, 2, 700, 0.9, 4]
    assert options == {
        "num_seeds": 10,
        "seed": 7,
        "env_steps": 1_000_000,
        "evaluate_every": 10,
        "evaluation_episodes": 2,
        "checkpoint_every": 20,
        "log_every": 30,
        "diagnose_every": 40,
        "precision": "bf16",
        "overlap": True,
        "curvature": True,
        "replay_capacity": 9_000,
        "env_workers": 0,
        "out": Path("runs/dog"),
        "overwrite": True,
        "init_from": Path("runs/cat"),
        "init_replay": True,
        "prefill": "D4RL/dog/human-v0",
        "callbacks": [],
    }


def test_the_last_of_a_repeated_option_wins(api: FakeApi) -> None:
    """`make train ARGS=...` appends to its own defaults and relies on this."""
    assert main(["train", "cheetah-run", "--utd", "2", "--env-steps", "44_000", "--utd=3", "--env_steps", "5"]) == 0
    ((_, _, options),) = api.calls
    assert (options["algorithm"].utd, options["env_steps"]) == (3, 5)


def test_resume_changes_only_what_was_given(api: FakeApi) -> None:
    assert main(["resume", "runs/dog"]) == 0
    assert main(["resume", "runs/dog", "--env-steps", "2_000_000", "--log-every", "5", "--task", "my.envs:dog"]) == 0
    assert api.calls == [
        ("resume", Path("runs/dog"), {"callbacks": []}),
        ("resume", Path("runs/dog"), {"env_steps": 2_000_000, "log_every": 5, "task": "my.envs:dog", "callbacks": []}),
    ]


def test_plain_output_tells_the_whole_story(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "cheetah-run"])
    assert capsys.readouterr().out.splitlines() == [
        "training crossq-wn on cheetah-run, UTD 2, seeds 3 to 4, 2,000 env steps; CPU, 2 cores; replay 1 MiB; "
        "environments in this process; runs/cheetah-run-crossq-wn-1",
        "env steps 2,000/2,000  return 200.0 (seeds 100.0 to 300.0)  250 env steps/s  130 updates/s  4s left",
        "checkpoint 1000 is damaged: the one before it is used",
        "done: 2,000 env steps in 1m 01s",
        "  final return   200.0 (seeds 100.0 to 300.0)",
        "  random policy  8.2",
        "  run            runs/cheetah-run-crossq-wn-1",
        "  evaluate it    surefoot evaluate runs/cheetah-run-crossq-wn-1",
        "  train longer   surefoot resume runs/cheetah-run-crossq-wn-1 --env-steps 4_000",
        '  in Python      surefoot.load_policy("runs/cheetah-run-crossq-wn-1")',
    ]


def test_an_interrupted_run_says_how_to_go_on(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.completed = False
    assert main(["train", "cheetah-run"]) == 130
    assert f"surefoot resume {PATH}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("no such\nthing"), 2), (RunFailure("cheetah-run: seed 4: NaN"), 1), (KeyboardInterrupt(), 130)],
)
def test_an_expected_failure_is_at_most_one_line(
    api: FakeApi, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    api.error = error
    assert main(["train", "cheetah-run"]) == code
    message = " ".join(str(error).split())
    assert capsys.readouterr().err == (f"surefoot: error: {message}\n" if message else "")


def test_a_bug_keeps_its_traceback(api: FakeApi) -> None:
    api.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        main(["train", "cheetah-run"])
