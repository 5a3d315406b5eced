"""Settings as text: accepted values, and one-line errors that name the nearest valid choice."""

from __future__ import annotations

import dataclasses

import pytest

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    L2Penalty,
    LinearDecay,
    Mean,
    RandomSubsetMin,
    ResetEvery,
    UnitNorm,
)
from surefoot.algorithms.part_text import part_from_text, with_settings
from surefoot.algorithms.presets import crossq_wn, sac
from surefoot.errors import UserError
from surefoot.networks import MLP, BatchNorm, BroNet, LayerNorm


def test_settings_are_parsed() -> None:
    parsed = {
        text: with_settings(sac(), [text.partition("=")[::2]])
        for text in (
            "utd=4",
            "warmup_transitions=10_000",
            "discount=0.95",
            "discount=none",
            "update-order=actor-first",
            "temperature.initial=0.01",
            "temperature.target_entropy=-0.5",
            "temperature.optimizer.learning_rate=1e-4",
            "critic_optimizer.learning_rate=LinearDecay(3e-4, 3e-5, 500_000)",
            "critic_optimizer.decay=outside-hidden",
            "critic.norm=layer-norm",
            "critic.widths=(32, 16)",
            "critic.bias=false",
            "critic=MLP((64, 64), BatchNorm(epsilon=1e-5), norm_order=pre)",
            "actor=BroNet(64, 1)",
            "target=None",
            "weight_constraint=L2Penalty(1e-4)",
            "target_reduction=random_subset_min",
            "policy_reduction=mean",
            "resets=ResetEvery(env_steps=80_000)",
        )
    }
    temperature = sac().temperature
    assert temperature is not None
    base = sac()
    expected = {
        "utd=4": base.replace(utd=4),
        "warmup_transitions=10_000": base.replace(warmup_transitions=10_000),
        "discount=0.95": base.replace(discount=0.95),
        "discount=none": base,
        "update-order=actor-first": base.replace(update_order="actor-first"),
        "temperature.initial=0.01": base.replace(temperature=type(temperature)(0.01, -1.0, temperature.optimizer)),
        "temperature.target_entropy=-0.5": base.replace(
            temperature=type(temperature)(1.0, -0.5, temperature.optimizer)
        ),
        "temperature.optimizer.learning_rate=1e-4": base.replace(temperature=type(temperature)(1.0, -1.0, AdamW(1e-4))),
        "critic_optimizer.learning_rate=LinearDecay(3e-4, 3e-5, 500_000)": base.replace(
            critic_optimizer=AdamW(LinearDecay(3e-4, 3e-5, 500_000))
        ),
        "critic_optimizer.decay=outside-hidden": base.replace(critic_optimizer=AdamW(3e-4, decay="outside-hidden")),
        "critic.norm=layer-norm": base.replace(critic=MLP((256, 256), LayerNorm())),
        "critic.widths=(32, 16)": base.replace(critic=MLP((32, 16))),
        "critic.bias=false": base.replace(critic=MLP((256, 256), bias=False)),
        "critic=MLP((64, 64), BatchNorm(epsilon=1e-5), norm_order=pre)": base.replace(
            critic=MLP((64, 64), BatchNorm(epsilon=1e-5), norm_order="pre")
        ),
        "actor=BroNet(64, 1)": base.replace(actor=BroNet(64, 1)),
        "target=None": base.replace(target=None),
        "weight_constraint=L2Penalty(1e-4)": base.replace(weight_constraint=L2Penalty(1e-4)),
        "target_reduction=random_subset_min": base.replace(target_reduction=RandomSubsetMin(2)),
        "policy_reduction=mean": base.replace(policy_reduction=Mean()),
        "resets=ResetEvery(env_steps=80_000)": base.replace(resets=ResetEvery(env_steps=80_000)),
    }
    assert parsed == expected


def test_other_settings_stay() -> None:
    settings = [("weight_constraint.layers", "all"), ("utd", "4"), ("critic.bias", "false"), ("utd", "8")]
    expected = crossq_wn().replace(weight_constraint=UnitNorm("all"), utd=8)
    assert with_settings(crossq_wn(), settings) == expected.replace(
        critic=dataclasses.replace(crossq_wn().critic, bias=False)
    )


def test_settings_are_validated_together() -> None:
    """A joint pass is invalid without batch normalisation, whichever setting is first."""
    settings = [("critic_pass", "joint"), ("critic.norm", "BatchNorm")]
    expected = sac().replace(critic=dataclasses.replace(sac().critic, norm=BatchNorm()), critic_pass="joint")
    assert with_settings(sac(), settings) == with_settings(sac(), settings[::-1]) == expected


def error(algorithm: Algorithm, path: str, text: str) -> str:
    with pytest.raises(UserError) as caught:
        with_settings(algorithm, [(path, text)])
    return str(caught.value)


def test_errors_take_one_line_and_name_the_nearest_choice() -> None:
    expected = {
        ("critics.norm", "none"): "an algorithm has no field 'critics'; did you mean 'critic'",
        ("critic.nrm", "none"): "MLP has no field 'nrm'; did you mean 'norm'?",
        ("critic.zzz", "1"): "MLP has no field 'zzz', expected one of widths, norm",
        ("critic.", "none"): "MLP has no field '', expected one of widths",
        ("", "1"): "an algorithm has no field ''",
        ("critic.norm.epsilon", "1"): "norm is None, which has no field 'epsilon'",
        ("critic.bias.x", "1"): "bias is True, which has no field 'x'",
        ("target_reduction.size", "1"): "target_reduction is Min, which has no field 'size'",
        ("critic_loss.scale", "big"): "critic_loss.scale must be a number, got 'big'",
        ("critic.bias", "1"): "critic.bias must be true or false, got '1'",
        ("critic.bias", "maybe"): "critic.bias must be true or false, got 'maybe'",
        ("critic.widths", "256"): "critic.widths must be a tuple, got '256'",
        ("critic.widths", "(8, 'a')"): "MLP widths must be a list or tuple whose every entry is an integer",
        ("utd", "true"): "utd must be a number such as 2, 0.5 or 2/1024, got 'true'",
        ("utd", "{[]: 1}"): "utd must be a number such as 2, 0.5 or 2/1024, got '{[]: 1}'",
        ("utd", "0"): "utd must be more than 0 and at most 10,000, got 0",
        ("discount", "2"): "discount must be in [0, 1], got 2.0",
        ("critic_pass", "joined"): "critic_pass must be one of joint, separate, got 'joined'; did you mean 'joint'?",
        ("critic_pass", "joint"): "critic_pass 'joint' needs a batch-normalised critic",
        ("weight_constraint", "unit-nrm"): "must be one of none, UnitNorm, FullUnitNorm, L2Penalty, got 'unit-nrm'",
        ("critic.norm", "batch"): "did you mean 'BatchNorm'",
        ("actor", "MLP(open('x'))"): "open('x') is neither a part nor a literal",
        ("actor", "MLP((8,), size=3)"): "MLP got an unexpected keyword argument 'size'",
        ("actor", "MLP(*x)"): "* is not supported",
        ("actor", "MLP((8, 8)"): "actor cannot be parsed",
        ("temperature", "Temperature(initial=0)"): "initial temperature must be a finite number above 0",
    }
    messages = {case: error(sac(), *case) for case in expected}
    assert {case: message for case, message in messages.items() if expected[case] not in message} == {}
    assert not [message for message in messages.values() if "\n" in message]


def test_part_from_text_reads_a_field_of_the_algorithm() -> None:
    assert part_from_text("weight_constraint", "unit-norm") == UnitNorm()
    assert part_from_text("target_reduction", "LowestMean") != Mean()
