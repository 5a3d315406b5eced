"""Absent parts add no state and no operation, and their code is not executed."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from surefoot import networks
from surefoot.algorithms import (
    Algorithm,
    CategoricalCrossEntropy,
    L2Penalty,
    Learner,
    LearnerState,
    QuantileHuber,
    RandomSubsetMin,
    ReturnScaling,
    UnitNorm,
    held_noise,
    statistics,
)
from surefoot.algorithms.optimism import Optimist
from surefoot.algorithms.presets import sac
from surefoot.networks import BatchNorm, BatchRenorm, BroNet, normalization
from surefoot.networks.layers import Dropout, Residual
from surefoot.networks.normalization import BatchNormalization, LayerNorm
from tests.algorithms.support import (
    ACTOR_WIDTHS,
    BATCH,
    CRITIC_WIDTHS,
    DISCOUNT,
    SPEC,
    fixed_batch,
    tiny,
    tiny_preset,
)
from tests.algorithms.test_policy_delay import conditionals, flops, layer_flops, needed, sub_programs

pytestmark = pytest.mark.usefixtures("x64")

SAC = tiny(sac())
SCALED, CONSTRAINED = tiny_preset("xqc"), tiny_preset("crossq-wn")


def traced(algorithm: Algorithm) -> Any:
    """Return the program of one update with all parts."""
    functions = Learner(algorithm, SPEC, DISCOUNT)
    state = jax.eval_shape(functions.init, jax.random.key(0))
    return jax.make_jaxpr(functions.update)(state, fixed_batch(), jax.random.key(0), jnp.bool_(True)).jaxpr


def operations(program: Any) -> int:
    return sum(1 + sum(operations(sub) for sub in sub_programs(equation)) for equation in program.eqns)


def state_shapes(algorithm: Algorithm) -> LearnerState:
    return jax.eval_shape(Learner(algorithm, SPEC, DISCOUNT).init, jax.random.key(0))


def fail(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("an absent part was used")


# Every function of a part, and an algorithm with the part.
PARTS: dict[str, tuple[Any, str, Algorithm]] = {
    "optimism's update": (Optimist, "update", tiny_preset("bro")),
    "optimism's state": (Optimist, "__init__", tiny_preset("bro")),
    "quantiles": (QuantileHuber, "loss", tiny_preset("bro")),
    "observation normalisation": (statistics, "normalize", tiny_preset("simba")),
    "observation statistics": (statistics, "init_moments", tiny_preset("simba")),
    "reward scaling": (statistics, "scale_reward", SCALED),
    "return statistics": (statistics, "init_return_moments", SCALED),
    "categories": (CategoricalCrossEntropy, "target", SCALED),
    "projection": (networks, "project", CONSTRAINED),
    "penalty": (networks, "squared_norm", tiny(weight_constraint=L2Penalty())),
    "random subset": (RandomSubsetMin, "__call__", tiny_preset("redq")),
    "normalisation by the batch": (BatchNormalization, "__call__", tiny_preset("crossq")),
    "bounded scaling": (statistics, "scale_reward_bounded", tiny_preset("flashsac")),
    "projection of normalisations": (networks, "project_norms", tiny_preset("flashsac")),
    "held noise": (held_noise, "init_held_noise", tiny_preset("flashsac")),
    "renormalisation": (normalization, "_towards_running", tiny_preset("crossq-2024")),
}


def test_sac_update_executes_no_code_of_absent_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = operations(traced(SAC))
    for owner, name, _ in PARTS.values():
        monkeypatch.setattr(owner, name, fail)
    assert operations(traced(SAC)) == expected


@pytest.mark.parametrize("part", PARTS)
def test_update_executes_the_code_of_its_parts(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, having = PARTS[part]
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(AssertionError, match="an absent part was used"):
        traced(having)


def test_sac_state_has_no_leaves_of_absent_parts() -> None:
    state = state_shapes(SAC)
    assert (state.optimist, state.observations, state.returns, state.held_noise) == (None, None, None, None)
    assert (state.actor.batch_stats, state.critic.batch_stats) == ({}, {})
    networks_alone = (state.actor.params, state.critic.params, state.target_critic)
    optimisers = (state.actor.opt_state, state.critic.opt_state, state.temperature_opt_state)
    assert len(jax.tree.leaves(state)) == len(jax.tree.leaves((networks_alone, optimisers))) + 2  # temperature and key


def test_scaling_without_a_bound_has_no_largest_return() -> None:
    returns = state_shapes(SCALED).returns
    assert returns is not None
    assert returns.largest is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight_constraint", L2Penalty()),
        ("reward_scaling", ReturnScaling()),
        ("observation_norm", tiny_preset("simba").observation_norm),
        ("optimism", tiny_preset("bro").optimism),
        ("target_reduction", RandomSubsetMin(2)),
        ("critic_loss", QuantileHuber(5)),
    ],
)
def test_operation_count_detects_a_part(field: str, value: Any) -> None:
    scalars = {"target_reduction": tiny_preset("bro").target_reduction} if field == "critic_loss" else {}
    assert operations(traced(SAC.replace(**{field: value}, **scalars))) > operations(traced(SAC))


def test_resets_do_not_change_the_update_program() -> None:
    resets = tiny_preset("bro").resets
    assert str(traced(SAC.replace(resets=resets))) == str(traced(SAC))


def test_flops_with_and_without_target_by_hand() -> None:
    """SAC's own arithmetic, counted by hand, with and without the target network."""
    observation, action = SPEC[:2]
    actor = layer_flops(ACTOR_WIDTHS, observation, 2 * action, BATCH)
    critics = 2 * layer_flops(CRITIC_WIDTHS, observation + action, 1, BATCH)
    first_layer = 2 * (2 * BATCH * (observation + action) * CRITIC_WIDTHS[0])
    actors_first_layer = 2 * BATCH * observation * ACTOR_WIDTHS[0]
    by_hand = (
        actor  # next actions
        + 2 * critics  # the critics at (s, a) and the target at (s', a')
        + (2 * critics - first_layer)  # the gradient, without that of the inputs
        + (3 * actor - actors_first_layer)  # the policy forward and backward
        + 2 * critics  # ... through the critics only to their input
    )
    program = needed(traced(SAC))
    assert flops(program, branches=True) == by_hand
    # Without a target the critics' own pass at (s', a') replaces the target's.
    assert flops(needed(traced(SAC.replace(target=None))), branches=True) == by_hand
    assert conditionals(program) == 0


def test_plain_torso_has_plain_layers_only() -> None:
    kinds = {type(layer) for torso in (SAC.actor, SAC.critic) for layer in torso.layers()}
    assert not kinds & {Dropout, Residual}
    norms = {BatchNorm, BatchRenorm, LayerNorm}
    assert not {type(getattr(layer, "norm", None)) for layer in SAC.critic.layers()} & norms
    assert dataclasses.replace(SAC, critic=BroNet(6, 1)) != SAC
    assert SAC.weight_constraint != UnitNorm()
