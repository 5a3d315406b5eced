"""Commands ``train`` and ``resume``: arguments passed to the library, and exit codes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import surefoot
from surefoot.algorithms.presets import get_preset
from surefoot.cli.main import main
from surefoot.errors import RunFailure, UserError
from surefoot.training.config import TrainConfig

from .conftest import PATH, FakeApi


def algorithm_of(api: FakeApi) -> surefoot.Algorithm:
    ((_, _, options),) = api.calls
    algorithm = options["algorithm"]
    assert isinstance(algorithm, surefoot.Algorithm)
    return algorithm


def test_train_has_the_defaults_of_a_configuration(api: FakeApi) -> None:
    assert main(["train", "cheetah-run"]) == 0
    ((name, task, options),) = api.calls
    config = TrainConfig("cheetah-run", get_preset("crossq-wn-code"))
    expected = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    assert (name, task) == ("train", expected.pop("task"))
    assert options == expected | {"callbacks": []}


def test_train_passes_every_option(api: FakeApi) -> None:
    line = (
        "train dog-run --algorithm sac --utd 5 --set batch-size=64 --num-seeds 10 --env-steps 1_000_000 --seed 7 "
        "--evaluate-every 10 --evaluation-episodes 2 --checkpoint-every 20 --log-every 30 --diagnose-every 40 "
        "--precision bf16 --overlap --curvature --replay-capacity 9_000 --env-workers 0 --out runs/dog --overwrite "
        "--init-from runs/cat --init-replay --prefill D4RL/dog/human-v0 --env-set size=[3,4] --env-set kind=a "
        "--num-envs 8 --engine envpool --actor-keys state --critic-keys state,goal"
    )
    assert main(line.split()) == 0
    ((_, task, options),) = api.calls
    assert task == "dog-run"
    assert options == {
        "algorithm": surefoot.sac(utd=5).replace(batch_size=64),
        "num_seeds": 10,
        "num_envs": 8,
        "engine": "envpool",
        "actor_keys": "state",
        "critic_keys": "state,goal",
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
        "env_set": {"size": [3, 4], "kind": "a"},
        "callbacks": [],
    }


def test_last_of_repeated_options_applies(api: FakeApi) -> None:
    """`make train ARGS=...` appends to its own defaults and relies on this."""
    arguments = "--utd 2 --env-steps 44_000 --set discount=0.5 --utd=3 --env_steps 5 --set discount=0.9"
    arguments += " --env-set a=1 --env_set a=2"
    assert main(["train", "cheetah-run", *arguments.split()]) == 0
    ((_, _, options),) = api.calls
    algorithm = options["algorithm"]
    assert (algorithm.utd, algorithm.discount, options["env_steps"], options["env_set"]) == (3, 0.9, 5, {"a": 2})


def test_set_replaces_parts_and_their_values(api: FakeApi) -> None:
    settings = ["weight_constraint=none", "resets=ResetEvery(env_steps=80_000)", "critic-pass=separate"]
    settings += ["temperature=Temperature(0.01)", "actor.widths = (64, 64)"]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    assert main(["train", "cheetah-run", *arguments, "--utd", "3"]) == 0
    expected = surefoot.crossq_wn_code(utd=3)
    assert algorithm_of(api) == expected.replace(
        weight_constraint=None,
        resets=surefoot.ResetEvery(env_steps=80_000),
        critic_pass="separate",
        temperature=surefoot.Temperature(0.01),
        actor=dataclasses.replace(expected.actor, widths=(64, 64)),
    )


def test_set_validates_only_the_final_combination(api: FakeApi) -> None:
    arguments = ["--set", "critic_loss=quantile-huber", "--set", "target_reduction=mean"]
    assert main(["train", "cheetah-run", "--algorithm", "sac", *arguments]) == 0
    assert type(algorithm_of(api).target_reduction).__name__ == "Mean"


def test_resume_passes_only_given_options(api: FakeApi) -> None:
    assert main(["resume", "runs/dog"]) == 0
    arguments = "--env-steps 2_000_000 --diagnose-every 0 --curvature --env-workers 0 --task my.envs:dog"
    assert main(["resume", "runs/dog", *arguments.split()]) == 0
    given = {"env_steps": 2_000_000, "diagnose_every": 0, "curvature": True, "env_workers": 0, "task": "my.envs:dog"}
    assert api.calls == [
        ("resume", Path("runs/dog"), {"callbacks": []}),
        ("resume", Path("runs/dog"), {**given, "callbacks": []}),
    ]


def test_plain_output_of_a_run(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "cheetah-run"])
    assert capsys.readouterr().out.splitlines() == [
        "training crossq-wn on cheetah-run, UTD 2, seeds 3 to 4, 2,000 env steps; float32 on CPU, 2 cores; "
        "replay 1 MiB; environments in this process; runs/cheetah-run-crossq-wn-1",
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


@pytest.mark.parametrize("signalled", [False, True])
def test_interrupted_run_prints_how_to_resume(
    signalled: bool, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.completed, api.signalled = False, signalled
    for command in ("train", "resume"):
        assert main([command, "cheetah-run"]) == 130
        assert f"surefoot resume {PATH}" in capsys.readouterr().out


def test_signal_during_the_last_step_leaves_a_completed_run(api: FakeApi) -> None:
    api.signalled = True
    assert [main([command, "cheetah-run"]) for command in ("train", "resume")] == [0, 0]


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("no such\nthing"), 2), (RunFailure("cheetah-run: seed 4: NaN"), 1), (KeyboardInterrupt(), 130)],
)
def test_expected_failure_is_at_most_one_line(
    api: FakeApi, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    api.error = error
    assert main(["train", "cheetah-run"]) == code
    message = " ".join(str(error).split())
    assert capsys.readouterr().err == (f"surefoot: error: {message}\n" if message else "")


def test_unexpected_exception_keeps_its_traceback(api: FakeApi) -> None:
    api.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        main(["train", "cheetah-run"])
