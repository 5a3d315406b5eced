"""The presets, value by value, against a table transcribed from the papers' hyperparameter tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from surefoot.algorithms import AdamW, Algorithm, LinearDecay, PolyakTarget, UnitNorm
from surefoot.algorithms.presets import PresetInfo, crossq_wn, get_preset, list_presets
from surefoot.errors import UserError
from surefoot.networks import BatchNorm, LogStdRange

# One column per preset: arXiv 2502.07523v1, Table 1 ("crossq", "crossq-wn", "sac"), the table of its revision
# ("crossq-wn-r") and the authors' released configuration ("crossq-wn-code"), which also gives all of them BN's epsilon,
# the log-std range and which parameters decay. A row of one value holds for every column.
COLUMNS = ("crossq", "crossq-wn", "crossq-wn-r", "crossq-wn-code", "sac")
NORM = BatchNorm(momentum=0.99, epsilon=1e-3)
FALLING = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)
DIFFERENT: dict[str, tuple[Any, ...]] = {
    "critic_optimizer.learning_rate": (1e-4, 1e-4, 3e-4, FALLING, 3e-4),
    "actor_optimizer.learning_rate": (1e-4, 1e-4, 3e-4, FALLING, 3e-4),
    "temperature.optimizer.learning_rate": (1e-4, 1e-4, 1e-4, 1e-4, 3e-4),
    "critic_optimizer.weight_decay": (0.0, 0.01, 0.01, 0.01, 0.0),
    "actor_optimizer.weight_decay": (0.0, 0.01, 0.01, 0.01, 0.0),
    "temperature.initial": (1.0, 1.0, 1.0, 0.01, 1.0),
    "temperature.target_entropy": (-1.0, -1.0, -0.5, -0.5, -1.0),
    "critic.widths": ((512, 512), (512, 512), (512, 512), (512, 512), (256, 256)),
    "critic.norm": (NORM, NORM, NORM, NORM, None),
    "actor.norm": (NORM, NORM, NORM, NORM, None),
    "critic_pass": ("joint", "joint", "joint", "joint", "separate"),
    "weight_constraint": (None, UnitNorm(), UnitNorm(), UnitNorm(), None),
    "policy_delay": (3, 3, 3, 3, 1),
    "warmup_transitions": (5_000, 5_000, 5_000, 5_000, 10_000),
    "utd": (1, 5, 5, 2, 1),
}
SAME: dict[str, Any] = {
    "actor.widths": (256, 256),
    "num_critics": 2,
    "target": PolyakTarget(tau=0.005),
    "log_std": LogStdRange(low=-10.0, high=2.0, mapping="clip"),
    "critic_loss_scale": 0.5,
    "batch_size": 256,
    "discount": None,
    "action_repeat": None,
    "temperature.optimizer.weight_decay": 0.0,
    **{f"{name}.b1": 0.9 for name in ("critic_optimizer", "actor_optimizer", "temperature.optimizer")},
    **{f"{name}.b2": 0.999 for name in ("critic_optimizer", "actor_optimizer", "temperature.optimizer")},
}
TABLE = DIFFERENT | {row: (value,) * len(COLUMNS) for row, value in SAME.items()}
DECAYED = ("crossq-wn", "crossq-wn-r", "crossq-wn-code")


def look_up(algorithm: Algorithm, path: str) -> Any:
    value: Any = algorithm
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", TABLE)
def test_preset_has_the_tables_value(column: str, row: str) -> None:
    assert look_up(get_preset(column), row) == TABLE[row][COLUMNS.index(column)]


@pytest.mark.parametrize("name", DECAYED)
def test_decay_spares_what_the_projection_holds(name: str) -> None:
    assert get_preset(name).actor_optimizer.decay == get_preset(name).critic_optimizer.decay == "unconstrained"


def test_the_table_pins_every_field_and_every_preset() -> None:
    assert {preset.name for preset in list_presets()} == set(COLUMNS)
    fields = {field.name for field in dataclasses.fields(Algorithm)} - {"name"}
    assert {row.partition(".")[0] for row in TABLE} == fields


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_a_preset_names_itself_and_takes_a_utd(preset: PresetInfo) -> None:
    assert preset.build().name == preset.name
    assert preset.build(utd=7).utd == 7
    assert preset.utd == preset.build().utd
    assert preset.url.startswith("https://arxiv.org/")
    assert preset.summary


def test_overrides() -> None:
    changed = get_preset("crossq-wn", utd=2, batch_size=64, learning_rate=5e-4, policy_delay=None)
    assert (changed.utd, changed.batch_size, changed.policy_delay) == (2, 64, 3)
    assert changed.actor_optimizer == AdamW(5e-4, weight_decay=0.01, decay="unconstrained") == changed.critic_optimizer
    assert changed.temperature == crossq_wn().temperature


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match="unknown algorithm 'crosq-wn'; did you mean 'crossq-wn'"):
        get_preset("crosq-wn")
    with pytest.raises(UserError, match="no field 'batchsize'; did you mean 'batch_size'"):
        get_preset("sac", batchsize=3)
