"""Algorithms as JSON and back, and rejected descriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from surefoot.algorithms import (
    Algorithm,
    PolyakTarget,
    SquaredError,
    TanhGaussian,
    algorithm_from_data,
    from_data,
    to_data,
)
from surefoot.algorithms.presets import PresetInfo, crossq_wn, list_presets
from surefoot.errors import UserError
from surefoot.networks import LogStdRange


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_presets_round_trip_through_json(preset: PresetInfo) -> None:
    algorithm = preset.build()
    text = json.dumps(to_data(algorithm), allow_nan=False)
    assert from_data(json.loads(text)) == algorithm
    assert json.dumps(to_data(from_data(json.loads(text)))) == text


def test_values_without_a_preset_round_trip_through_json() -> None:
    algorithm = crossq_wn().replace(
        target=PolyakTarget(0.1),
        discount=0.95,
        action_repeat=4,
        policy=TanhGaussian(LogStdRange(-5.0, 1.0, "tanh")),
        critic_loss=SquaredError(0.1 + 0.2),
    )
    assert from_data(json.loads(json.dumps(to_data(algorithm)))) == algorithm
    without = algorithm.replace(target=None)
    assert from_data(json.loads(json.dumps(to_data(without)))) == without


def test_description_is_readable() -> None:
    data = to_data(crossq_wn())
    assert data["part"] == "Algorithm"
    assert data["critic"] == {
        "part": "MLP",
        "widths": [512, 512],
        "norm": {"part": "BatchNorm", "momentum": 0.99, "epsilon": 1e-3, "running_variance": "biased"},
        "norm_order": "post",
        "bias": True,
        "dropout": 0.0,
        "init": "orthogonal",
    }
    assert data["weight_constraint"] == {"part": "UnitNorm", "layers": "hidden"}


def changed(**changes: Any) -> dict[str, Any]:
    return {**to_data(Algorithm()), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "unknown part None"),
        ({"part": "Algorithms"}, "unknown part 'Algorithms'"),
        ({"part": ["Algorithm"]}, "unknown part"),
        # Modules and layers are not parts.
        *[({"part": name}, f"unknown part {name!r}") for name in ("Critic", "BatchNormalization", "Dense", "Torso")],
        ({"part": "os.system", "command": "true"}, "unknown part 'os.system'"),
        (changed(speed=3), "Algorithm does not fit.*speed"),
        (changed(utd=0), "utd"),
        (changed(target={"part": "PolyakTarget", "tau": 7}), "tau"),
        (changed(target={"part": "PolyakTarget", "rate": 0.1}), "PolyakTarget does not fit.*rate"),
        (changed(actor={"part": "MLP", "widths": []}), "widths"),
        (changed(actor={"part": "MLP"}), "MLP does not fit.*widths"),
        (changed(critic_loss={"part": "SquaredError", "scale": "large"}), "scale must be a number, got 'large'"),
        (changed(actor=3), "actor must be of type MLP or .*SimBaNet or of type FlashSACNet, got 3"),
        (changed(critic=None), "critic must be of type MLP or .*SimBaNet or of type FlashSACNet, got None"),
        (changed(target={"part": "UnitNorm"}), r"target must be of type PolyakTarget or None, got UnitNorm\("),
        (
            changed(actor={"part": "MLP", "widths": [16], "norm": {"part": "UnitNorm"}}),
            r"MLP norm must be of type BatchNorm or .*LayerNorm or of type RMSNorm or None, got UnitNorm\(",
        ),
        (changed(actor={"part": "MLP", "widths": [16.5]}), "widths must be .*, got .16.5"),
    ],
)
def test_invalid_descriptions_are_rejected_in_one_line(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_data(data)
    assert "\n" not in str(caught.value)


def test_algorithm_from_data_rejects_other_parts() -> None:
    assert algorithm_from_data(to_data(crossq_wn())) == crossq_wn()
    for data in (None, 3, "Algorithm", [to_data(Algorithm())], to_data(PolyakTarget())):
        with pytest.raises(UserError, match=r"description must be .* 'Algorithm', got ") as caught:
            algorithm_from_data(data)
        assert "\n" not in str(caught.value)
