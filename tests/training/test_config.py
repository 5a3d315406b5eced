"""Settings of a training run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from surefoot.algorithms.presets import get_preset
from surefoot.errors import UserError
from surefoot.training.config import TrainConfig, check_names, settings


def config(**values: object) -> TrainConfig:
    return TrainConfig("cheetah-run", get_preset("crossq-wn"), **values)  # type: ignore[arg-type]


def test_every_field_is_described() -> None:
    fields = [field.name for field in dataclasses.fields(TrainConfig)]
    assert fields == ["task", "algorithm", *(setting.name for setting in settings())]
    assert [setting.name for setting in settings() if not setting.meaning.endswith(".")] == []
    assert [setting.name for setting in settings() if setting.default is None and not setting.hint] == []
    assert [setting.name for setting in settings() if setting.kind is int and not setting.unit] == []


def test_settings_that_a_resumed_run_may_change_and_config_json_records() -> None:
    changeable = {setting.name for setting in settings() if setting.resume}
    intervals = {"evaluate_every", "checkpoint_every", "log_every", "diagnose_every"}
    assert changeable == {"env_steps", "evaluation_episodes", "curvature", "env_workers"} | intervals
    unrecorded = {setting.name for setting in settings() if not setting.recorded}
    assert unrecorded == {"out", "overwrite", "init_from", "init_replay", "prefill"}


def test_values_are_converted_to_the_type_of_their_setting() -> None:
    given = config(env_steps=2e5, seed=np.int64(3), num_seeds=np.uint8(2), out="runs/x", prefill=Path("data.npz"))
    assert (given.env_steps, given.seed, given.num_seeds) == (200_000, 3, 2)
    assert {type(value) for value in (given.env_steps, given.seed, given.num_seeds)} == {int}
    assert (given.out, given.prefill) == (Path("runs/x"), "data.npz")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"env_steps": 2.5}, "env_steps must be a whole number, got 2.5"),
        ({"env_steps": True}, "env_steps must be a whole number, got True"),
        ({"env_steps": None}, "env_steps must be a whole number, got None"),
        ({"log_every": 0}, "log_every must be at least 1, got 0"),
        ({"diagnose_every": -1}, "diagnose_every must be at least 0, got -1"),
        ({"seed": 2**31 - 1}, "seed must be between"),
        ({"num_seeds": 3e9}, r"num_seeds must be below 2\*\*31, got 3000000000"),
        ({"env_steps": 1e30}, "env_steps must be at most 1,000,000,000,000,000, got 1,000,"),
        ({"overlap": 1}, "overlap must be True or False, got 1"),
        ({"precision": "fp8"}, "precision must be one of .*float32.*, got 'fp8'"),
        ({"out": 3}, "out must be a path, got 3"),
        ({"replay_capacity": 10}, "replay_capacity must hold at least the warm-up"),
        ({"init_replay": True}, "init_replay needs init_from"),
    ],
)
def test_invalid_values_are_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        config(**values)
    assert "\n" not in str(error.value)


def test_unknown_names_are_errors_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"train has no setting 'env_stpes'.*did you mean 'env_steps'"):
        check_names({"seed": 1, "env_stpes": 2})
    with pytest.raises(UserError, match="resume cannot change 'seed': a run keeps the algorithm and the settings"):
        check_names({"seed": 1}, resume=True)
