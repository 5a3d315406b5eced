"""Values of the presets against the papers' hyperparameter tables and the authors' code, transcribed as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    BoundedReturnScaling,
    CategoricalCrossEntropy,
    CosineDecay,
    DeterministicPolicy,
    First,
    FullUnitNorm,
    HeldNoise,
    LinearDecay,
    LowestMean,
    Mean,
    Min,
    ObservationNorm,
    OptimisticActor,
    PolyakTarget,
    QuantileHuber,
    RandomSubsetMin,
    ResetAt,
    ResetEvery,
    ReturnScaling,
    SquaredError,
    TanhGaussian,
    UnitNorm,
)
from surefoot.algorithms.presets import bro, crossq_wn, get_preset, list_presets
from surefoot.algorithms.presets.registry import PRESETS
from surefoot.errors import UserError
from surefoot.networks import MLP, BatchNorm, BatchRenorm, BroNet, FlashSACNet, LayerNorm, LogStdRange, SimBaNet

# One column per preset. T1 (arXiv 2502.07523v1, Table 1): "crossq", "crossq-wn", "sac". R (its revision):
# "crossq-wn-r", and without values "td3-wn". Code (what authors released): all the others; the first family's code also
# gives BN's epsilon, the log-std range and which parameters decay. A row of one value holds for every column.
COLUMNS = (
    *("crossq", "crossq-wn", "crossq-wn-r", "crossq-wn-code", "crossq-2024", "td3-wn"),
    *("sac", "sr-sac", "bro", "simba", "xqc", "redq", "droq", "flashsac"),
)
NORM = BatchNorm(momentum=0.99, epsilon=1e-3)
RENORM = BatchRenorm(momentum=0.99, epsilon=1e-3, max_scale=3.0, max_shift=5.0, warmup_updates=100_000)
FALL = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)
SLOW = LinearDecay(initial=3e-4, final=3e-5, agent_steps=1_500_000)
BN_ACTOR, BN_CRITIC, PLAIN = MLP((256, 256), NORM), MLP((512, 512), NORM), MLP((256, 256))
CLIP, TANH, WIDE = LogStdRange(-10.0, 2.0, "clip"), LogStdRange(-10.0, 2.0, "tanh"), LogStdRange(-20.0, 2.0, "clip")
TD3 = DeterministicPolicy(exploration_noise=0.1, target_noise=0.2, target_noise_bound=0.5)
GAUSS, SQUASHED, BROAD = TanhGaussian(CLIP), TanhGaussian(TANH), TanhGaussian(WIDE)
POLYAK, HALF, ONE = PolyakTarget(0.005), SquaredError(0.5), SquaredError(1.0)
UNIT, EVERY = UnitNorm("hidden"), UnitNorm("all")
BRO_LOSS, XQC_LOSS = QuantileHuber(100, 1.0), CategoricalCrossEntropy(101, -5.0, 5.0)
BRO_RESETS = ResetAt((15_001, 50_001, 250_001, 500_001, 750_001, 1_000_001, 1_500_001, 2_000_001))
SR_RESETS = ResetEvery(env_steps=80_000)
OPTIMISM = OptimisticActor(
    torso=BroNet(256, 1),
    optimizer=AdamW(3e-4, 0.9, 0.999, 1e-4, "all"),
    std_scale=0.75,
    initial_optimism=1.0,
    initial_kl_weight=0.25,
    target_kl=0.05,
    weight_optimizer=AdamW(3e-5, 0.5, 0.999),
)
XQC_ACTOR, XQC_CRITIC = (MLP((width,) * 4, NORM, norm_order="pre", bias=False) for width in (256, 512))
LECUN_ACTOR, LECUN_CRITIC = (MLP((width,) * 2, RENORM, init="lecun") for width in (256, 2048))
DROP = MLP((256, 256), LayerNorm(1e-5), norm_order="pre", dropout=0.01)
ABSENT = object()
"""Marks a preset without a temperature."""

# fmt: off
TABLE: dict[str, tuple[Any, ...]] = {
    # crossq, crossq-wn, crossq-wn-r, crossq-wn-code, crossq-2024, td3-wn | sac, sr-sac, bro, simba, xqc, redq, droq
    "critic_optimizer.learning_rate": (1e-4, 1e-4, 3e-4, FALL, 8e-4, 1e-4, 3e-4, 3e-4, 3e-4, 1e-4, FALL, 3e-4, 3e-4),
    "actor_optimizer.learning_rate": (1e-4, 1e-4, 3e-4, SLOW, 8e-4, 1e-4, 3e-4, 3e-4, 3e-4, 1e-4, SLOW, 3e-4, 3e-4),
    "temperature.optimizer.learning_rate":
        (1e-4, 1e-4, 1e-4, SLOW, 8e-4, ABSENT, 3e-4, 3e-4, 3e-4, 1e-4, SLOW, 3e-4, 3e-4),
    "temperature.loss": (*("alpha",) * 5, ABSENT, *("alpha",) * 5, "log-alpha", "log-alpha"),
    "temperature.optimizer.b1": (0.9, 0.9, 0.9, 0.9, 0.9, ABSENT, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.9),
    "temperature.initial": (1.0, 1.0, 1.0, 0.01, 1.0, ABSENT, 1.0, 1.0, 1.0, 0.01, 0.01, 1.0, 1.0),
    "temperature.target_entropy": (-1.0, -1.0, -0.5, -0.5, -1.0, ABSENT, -1.0, -0.5, -0.5, -0.5, -0.5, -1.0, -1.0),
    "critic_optimizer.b1": (0.9, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9),
    "actor_optimizer.b1": (0.9, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9),
    "critic_optimizer.weight_decay": (0.0, 0.01, 0.01, 0.01, 0.0, 0.01, 0.0, 0.0, 1e-4, 0.01, 0.0, 0.0, 0.0),
    "actor_optimizer.weight_decay": (0.0, 0.01, 0.01, 0.01, 0.0, 0.01, 0.0, 0.0, 1e-4, 0.01, 0.0, 0.0, 0.0),
    "actor": (
        *(BN_ACTOR,) * 4, LECUN_ACTOR, BN_ACTOR,
        PLAIN, PLAIN, BroNet(256, 1), SimBaNet(128, 1, 4), XQC_ACTOR, PLAIN, PLAIN,
    ),
    "critic": (
        *(BN_CRITIC,) * 4, LECUN_CRITIC, BN_CRITIC,
        PLAIN, PLAIN, BroNet(512, 2), SimBaNet(512, 2, 4), XQC_CRITIC, PLAIN, DROP,
    ),
    "num_critics": (2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 2, 10, 2),
    "policy": (GAUSS, GAUSS, GAUSS, GAUSS, BROAD, TD3, GAUSS, SQUASHED, SQUASHED, SQUASHED, GAUSS, BROAD, BROAD),
    "target": (POLYAK, POLYAK, POLYAK, POLYAK, None, *(POLYAK,) * 8),
    "target_reduction": (*(Min(),) * 8, Mean(), Min(), LowestMean(), RandomSubsetMin(2), RandomSubsetMin(2)),
    "policy_reduction": (*(Min(),) * 5, First(), Min(), Min(), Mean(), Min(), Min(), Mean(), Mean()),
    "critic_pass": (*("joint",) * 6, *("separate",) * 4, "joint", "separate", "separate"),
    "critic_loss": (*(HALF,) * 7, ONE, BRO_LOSS, ONE, XQC_LOSS, ONE, ONE),
    "weight_constraint": (None, UNIT, UNIT, EVERY, None, UNIT, None, None, None, None, EVERY, None, None),
    "resets": (*(None,) * 7, SR_RESETS, BRO_RESETS, *(None,) * 4),
    "optimism": (*(None,) * 8, OPTIMISM, *(None,) * 4),
    "observation_norm": (*(None,) * 9, ObservationNorm(1e-8), *(None,) * 3),
    "reward_scaling": (*(None,) * 10, ReturnScaling(1e-8), None, None),
    "update_order": (*("critic-first",) * 9, "actor-first", *("critic-first",) * 3),
    "actor_statistics":
        (*("policy-updates",) * 3, "all-updates", *("policy-updates",) * 6, "all-updates", *("policy-updates",) * 2),
    "utd": (1, 5, 5, 2, 1, 5, 1, 32, 10, 2, 2, 20, 20),
    "policy_delay": (3, 3, 3, 3, 3, 3, 1, 1, 1, 1, 3, 20, 20),
    "batch_size": (256, 256, 256, 256, 256, 256, 256, 256, 128, 256, 256, 256, 256),
    "warmup_transitions":
        (5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 10_000, 10_000, 2_500, 5_000, 5_000, 5_000, 5_000),
    "discount": (*(None,) * 7, 0.99, 0.99, *(None,) * 4),
    "action_repeat": (None, None, None, None, 1, None, None, 1, 1, None, None, None, None),
    "actor_pass": ("separate",) * 13,
    "held_noise": (None,) * 13,
}
# fmt: on
FLASHSAC: dict[str, Any] = {
    "critic_optimizer.learning_rate": CosineDecay(3e-4, 1.5e-4, agent_steps=1_000_000),
    "actor_optimizer.learning_rate": CosineDecay(3e-4, 1.5e-4, agent_steps=2_000_000),
    "temperature.optimizer.learning_rate": CosineDecay(3e-4, 1.5e-4, agent_steps=2_000_000),
    "temperature.optimizer.b1": 0.9,
    "temperature.initial": 0.01,
    "temperature.target_entropy": pytest.approx(0.5 * math.log(2 * math.pi * math.e * 0.15**2), rel=1e-15),
    "critic_optimizer.b1": 0.9,
    "actor_optimizer.b1": 0.9,
    "critic_optimizer.weight_decay": 0.0,
    "actor_optimizer.weight_decay": 0.0,
    "actor": FlashSACNet(128, 2, 4, BatchNorm(0.99, 1e-5, "unbiased")),
    "critic": FlashSACNet(256, 2, 4, BatchNorm(0.99, 1e-5, "unbiased")),
    "num_critics": 2,
    "policy": SQUASHED,
    "target": PolyakTarget(0.01),
    "target_reduction": LowestMean(),
    "policy_reduction": Min(),
    "critic_pass": "joint",
    "actor_pass": "joint",
    "critic_loss": CategoricalCrossEntropy(101, -5.0, 5.0, "mean"),
    "weight_constraint": FullUnitNorm(),
    "resets": None,
    "optimism": None,
    "held_noise": HeldNoise(2.0, 16),
    "observation_norm": None,
    "reward_scaling": BoundedReturnScaling(5.0, 1e-8),
    "update_order": "actor-first",
    "utd": 1,
    "policy_delay": 2,
    "batch_size": 512,
    "warmup_transitions": 10_000,
    "discount": 0.99,
    "action_repeat": 1,
    "actor_statistics": "policy-updates",
    "temperature.loss": "alpha",
}
TABLE = {row: (*values, FLASHSAC[row]) for row, values in TABLE.items()}
SAME: dict[str, Any] = {
    "temperature.optimizer.weight_decay": 0.0,
    **{f"{name}.b2": 0.999 for name in ("critic_optimizer", "actor_optimizer", "temperature.optimizer")},
}
TABLE |= {row: (value,) * len(COLUMNS) for row, value in SAME.items()}
DECAYED = {"crossq-wn", "crossq-wn-r", "crossq-wn-code", "td3-wn"}

LEFT_OUT: dict[tuple[str, str], tuple[Any, str]] = {
    ("sr-sac", "temperature.target_entropy"): (-1.0, "SR-SAC's code has half of it"),
    ("sr-sac", "action_repeat"): (2, "SR-SAC's code has none"),
    ("bro", "num_critics"): (1, "BRO's code has two and their mean, and so have its published results"),
    ("bro", "temperature.target_entropy"): (-1.0, "BRO's code has half of it"),
    ("bro", "warmup_transitions"): (10_000, "BRO's code has a quarter of it"),
}
"""Values of T1 for algorithms of other groups from which their presets deviate, with the reason."""


def look_up(algorithm: Algorithm, path: str) -> Any:
    value: Any = algorithm
    for name in path.split("."):
        if value is None:
            return ABSENT
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("column", COLUMNS)
def test_preset_has_the_values_of_the_table(column: str) -> None:
    algorithm = get_preset(column)
    expected = {row: values[COLUMNS.index(column)] for row, values in TABLE.items()}
    if column == "td3-wn":  # no temperature
        expected |= {row: ABSENT for row in SAME if row.startswith("temperature.")}
    decay = "outside-hidden" if column in DECAYED else "all"
    expected |= {"actor_optimizer.decay": decay, "critic_optimizer.decay": decay}
    assert {row: look_up(algorithm, row) for row in expected} == expected


def test_deviations_from_t1_are_real() -> None:
    kept = {key for key, (printed, reason) in LEFT_OUT.items() if look_up(get_preset(key[0]), key[1]) == printed}
    assert kept == set()


def test_table_covers_every_field_and_preset() -> None:
    assert {preset.name for preset in list_presets()} == set(COLUMNS)
    fields = {field.name for field in dataclasses.fields(Algorithm)} - {"name"}
    assert {row.partition(".")[0] for row in TABLE} == fields
    # The pinned fields are complete; decay has a separate test.
    for part, kind in (("critic_optimizer", AdamW), ("actor_optimizer", AdamW), ("temperature.optimizer", AdamW)):
        rows = {row.removeprefix(f"{part}.") for row in TABLE if row.startswith(f"{part}.")}
        assert rows == {field.name for field in dataclasses.fields(kind)} - {"decay"}


def test_bro_at_utd_2_resets_once() -> None:
    assert bro(utd=2).resets == ResetAt((15_001,))
    assert bro(utd=2).replace(utd=10, resets=BRO_RESETS) == bro()


@pytest.mark.parametrize("name", ["redq", "droq"])
def test_redq_updates_the_policy_once_per_agent_step_at_every_utd(name: str) -> None:
    assert [get_preset(name, utd=utd).policy_delay for utd in (1, 5, 20, 40)] == [1, 5, 20, 40]
    assert get_preset(name, utd=10, policy_delay=2).policy_delay == 2


# -------------------------------------------------------------------- sources


def leaves(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return every part and every value by its dotted name."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        yield prefix + field.name, value
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")


def different(algorithm: Algorithm) -> set[str]:
    """Return the innermost names whose value differs from the neutral setting."""
    neutral, own = dict(leaves(Algorithm())), dict(leaves(algorithm))
    inner = {name for name, value in own.items() if not any(other.startswith(f"{name}.") for other in own)}
    missing = object()
    found = {name for name in inner if neutral.get(name, missing) != own[name]}
    # A part that the neutral setting has and this one does not.
    found |= {name for name, value in own.items() if value is None and neutral.get(name) is not None}
    # A part of another kind, also if its values are equal or it has none.
    return (found | {n for n, v in own.items() if n in neutral and type(v) is not type(neutral[n])}) - {"name"}


def test_different_finds_changed_fields() -> None:
    assert different(Algorithm(name="other")) == set()
    assert different(Algorithm(utd=3, target_reduction=Mean())) == {"utd", "target_reduction"}
    assert different(Algorithm(actor=MLP((256, 256), BatchNorm(0.5)))) >= {"actor.norm.momentum"}
    assert different(Algorithm(target=None)) == {"target"}


def prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[: i + 1]) for i in range(len(parts))}


def test_every_value_that_is_not_neutral_has_a_source() -> None:
    missing = [
        (preset.name, name)
        for preset in list_presets()
        for name in different(preset.build())
        if not prefixes(name) & preset.sources.keys()
    ]
    assert missing == []


def test_every_source_belongs_to_a_field() -> None:
    for preset in list_presets():
        assert preset.sources.keys() <= dict(leaves(preset.build())).keys(), preset.name
        assert [source for source in preset.sources.values() if not source.strip() or "\n" in source] == []


# -------------------------------------------------------------------- names and overrides


def test_every_preset_is_listed_under_its_name_and_takes_a_utd() -> None:
    assert {preset.name for preset in list_presets()} == PRESETS.keys()
    for preset in list_presets():
        assert preset.build().name == preset.name
        assert preset.build(utd=7).utd == 7
        assert preset.utd == preset.build().utd
        assert preset.url.startswith(("https://arxiv.org/abs/", "https://openreview.net/forum?id="))
        assert preset.summary
        assert preset.paper


def test_overrides_replace_values_of_the_preset() -> None:
    changed = get_preset("crossq-wn", utd=2, batch_size=64, learning_rate=5e-4)
    assert (changed.utd, changed.batch_size, changed.policy_delay) == (2, 64, 3)
    assert changed.actor_optimizer == AdamW(5e-4, weight_decay=0.01, decay="outside-hidden") == changed.critic_optimizer
    assert changed.temperature == crossq_wn().temperature


def test_none_removes_a_part() -> None:
    """None is rejected where a field is required."""
    ablated = get_preset("crossq-wn", target=None, weight_constraint=None)
    assert ablated.target is None
    assert ablated.weight_constraint is None
    with pytest.raises(UserError, match="policy_delay must be an integer, got None"):
        get_preset("crossq-wn", policy_delay=None)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match="unknown algorithm 'crosq-wn'; did you mean 'crossq-wn'"):
        get_preset("crosq-wn")
    with pytest.raises(UserError, match="no field 'batchsize'; did you mean 'batch_size'"):
        get_preset("sac", batchsize=3)
