"""Unit norm of hidden layers at initialisation and after updates, and the decayed parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import AdamW, Algorithm, LearnerState, PolyakTarget
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.presets import PresetInfo, list_presets
from surefoot.networks import dense_norm
from surefoot.types import PyTree
from tests.algorithms.support import (
    ACTOR_WIDTHS,
    CRITIC_WIDTHS,
    compiled_update,
    double,
    fixed_batch,
    fresh_state,
    named_leaves,
    tiny,
    tiny_preset,
)

pytestmark = pytest.mark.usefixtures("x64")

CONSTRAINED = tiny()
FREE = tiny(weight_constraint=None, policy_delay=1)
UPDATES = 7


def unit_norms(layer: PyTree) -> np.ndarray:
    """Return the norm of each output unit's incoming weights and bias together, [..., units]."""
    return np.sqrt(np.square(layer["kernel"]).sum(axis=-2) + np.square(layer["bias"]))


def torsos(state: LearnerState) -> dict[str, PyTree]:
    return {"actor": state.actor.params["torso"], "critic": state.critic.params["torso"]}


def history(algorithm: Algorithm) -> list[LearnerState]:
    """Return the states at initialisation and after each update; every third one updates the actor."""
    states = [double(fresh_state(algorithm))]
    for i in range(UPDATES):
        state, _, _ = compiled_update(algorithm)(
            states[-1], fixed_batch(i), jax.random.key(i), jnp.bool_((i + 1) % 3 == 0)
        )
        states.append(state)
    return states


@pytest.fixture(scope="module")
def states(x64: None) -> list[LearnerState]:
    return history(CONSTRAINED)


def test_hidden_layers_have_unit_norm_initially_and_after_updates(states: list[LearnerState]) -> None:
    for i, state in enumerate(states):
        # The initial state is float32, and the actor is first updated in the third update.
        for network, torso in torsos(state).items():
            for layer in ("dense_0", "dense_1"):
                norms = unit_norms(torso[layer])
                np.testing.assert_allclose(norms, 1.0, atol=1e-6 if i < 3 else 1e-12, err_msg=f"{network} {layer}")


def test_projected_layer_has_frobenius_norm_root_width(states: list[LearnerState]) -> None:
    state = states[-1]
    for i, width in enumerate(CRITIC_WIDTHS):
        np.testing.assert_allclose(dense_norm(state.critic.params, [("torso", f"dense_{i}")]), [np.sqrt(width)] * 2)
    for i, width in enumerate(ACTOR_WIDTHS):
        np.testing.assert_allclose(dense_norm(state.actor.params, [("torso", f"dense_{i}")]), np.sqrt(width))


def test_biases_change_under_the_projection(states: list[LearnerState]) -> None:
    for torso in torsos(states[-1]).values():
        assert np.abs(torso["dense_0"]["bias"]).max() > 1e-3


def test_heads_are_not_projected(states: list[LearnerState]) -> None:
    for head in (states[-1].critic.params["head"], states[-1].actor.params["mean"], states[-1].actor.params["log_std"]):
        assert np.abs(unit_norms(head) - 1.0).min() > 1e-4


def test_target_is_not_projected(states: list[LearnerState]) -> None:
    for layer in ("dense_0", "dense_1"):
        norms = unit_norms(states[-1].target_critic["torso"][layer])
        # An average of unit vectors is shorter than one.
        assert (norms < 1.0 - 1e-9).all()


def test_without_the_constraint_nothing_is_projected() -> None:
    states = history(FREE)
    for state in (states[0], states[-1]):
        for torso in torsos(state).values():
            for layer in ("dense_0", "dense_1"):
                assert np.abs(unit_norms(torso[layer]) - 1.0).max() > 1e-3


# -------------------------------------------------------------------- weight decay

HEADS_AND_NORMS = {
    "critic": {"head", "input_norm", "norm_0", "norm_1"},
    "actor": {"mean", "log_std", "input_norm", "norm_0", "norm_1"},
}


def decayed(config: AdamW, algorithm: Algorithm, params: PyTree, network: str) -> dict[str, np.ndarray]:
    """Return the relative decrease of each leaf in a step with zero gradients."""
    mlp = algorithm.actor if network == "actor" else algorithm.critic
    optimizer = make_optimizer(config, 1.0, mlp.hidden_layers)
    ones, zeros = (jax.tree.map(lambda x, value=value: np.full_like(x, value), params) for value in (1.0, 0.0))
    updates, _ = jax.jit(optimizer.update)(zeros, jax.jit(optimizer.init)(ones), ones)
    return {name: -update for name, update in named_leaves(updates).items()}


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_unconstrained_decay_applies_to_heads_and_norms(states: list[LearnerState], network: str) -> None:
    params = getattr(states[0], network).params
    config = AdamW(learning_rate=0.5, weight_decay=0.01, decay="outside-hidden")
    for name, shrunk in decayed(config, CONSTRAINED, params, network).items():
        layer = name.split("'")[-4]
        np.testing.assert_allclose(shrunk, 0.005 if layer in HEADS_AND_NORMS[network] else 0.0, err_msg=name)
        assert layer in HEADS_AND_NORMS[network] | {"dense_0", "dense_1"}


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_decay_of_all_applies_to_every_parameter(states: list[LearnerState], network: str) -> None:
    params = getattr(states[0], network).params
    for name, shrunk in decayed(AdamW(0.5, weight_decay=0.01, decay="all"), CONSTRAINED, params, network).items():
        np.testing.assert_allclose(shrunk, 0.005, err_msg=name)


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_no_preset_decays_the_temperature(preset: PresetInfo) -> None:
    algorithm = preset.build()
    assert algorithm.temperature is None or algorithm.temperature.optimizer.weight_decay == 0.0


# -------------------------------------------------------------------- all layers and normalisations


@pytest.mark.slow
def test_full_unit_norm_projects_every_layer_and_normalisation() -> None:
    algorithm = tiny_preset("flashsac")
    state = double(fresh_state(algorithm))
    for i in range(3):
        state, _, _ = compiled_update(algorithm)(state, fixed_batch(i), jax.random.key(i), jnp.bool_(i == 0))
    for network in (state.actor.params, state.critic.params):
        for name, layer in {**network.pop("torso"), **network}.items():
            if "kernel" in layer:
                np.testing.assert_allclose(np.linalg.norm(layer["kernel"], axis=-2), 1.0, atol=1e-12, err_msg=name)
                continue
            squares = sum(np.square(array).sum(axis=-1) for array in layer.values())
            np.testing.assert_allclose(squares, layer["scale"].shape[-1], rtol=1e-8, err_msg=name)
            assert np.abs(layer.get("bias", 1.0)).max() > 1e-5, name
        assert all(np.abs(head["bias"]).max() > 1e-5 for head in network.values())


@pytest.mark.slow
def test_full_unit_norm_leaves_the_target_an_average() -> None:
    algorithm = tiny_preset("flashsac").replace(target=PolyakTarget(0.5))
    start = double(fresh_state(algorithm))
    state, _, _ = compiled_update(algorithm)(start, fixed_batch(), jax.random.key(0), jnp.bool_(True))
    for path in (("torso", "dense", "kernel"), ("torso", "norm", "scale"), ("head", "kernel")):
        target, critic, before = state.target_critic, state.critic.params, start.target_critic
        for name in path:
            target, critic, before = target[name], critic[name], before[name]
        np.testing.assert_allclose(target, 0.5 * (critic + before), rtol=1e-12)
