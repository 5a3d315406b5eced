"""Norms, effective learning rates, dead units and features against NumPy and values computed by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import LearnerState
from surefoot.diagnostics import NetworkDiagnostics, diagnose_actor, diagnose_critic, parameter_count
from surefoot.diagnostics.layers import _measure
from surefoot.types import PyTree
from tests.algorithms.support import every_preset, fixed_batch, fixed_state, learner, tiny_preset

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(1)
SAC = tiny_preset("sac")
LAYERS = ["torso/dense_0", "torso/dense_1"]
HEADS = {"critic": ["head"], "actor": ["mean", "log_std"]}


@functools.cache
def compiled(name: str, network: str) -> Callable[..., NetworkDiagnostics]:
    diagnose = diagnose_critic if network == "critic" else diagnose_actor
    return jax.jit(lambda state, batch, key: diagnose(learner(tiny_preset(name)), state, batch, key))


@functools.cache
def diagnosed(name: str, network: str) -> NetworkDiagnostics:
    state = fixed_state(tiny_preset(name))
    return jax.tree.map(np.asarray, compiled(name, network)(state, fixed_batch(), KEY))


def layer(params: PyTree, path: str) -> dict[str, np.ndarray]:
    for name in path.split("/"):
        params = params[name]
    return {name: np.asarray(leaf) for name, leaf in params.items()}


def norm(parts: dict[str, np.ndarray], critic: int | None) -> float:
    own = [leaf if critic is None else leaf[critic] for leaf in parts.values()]
    return float(np.sqrt(sum((leaf**2).sum() for leaf in own)))


def members(network: str) -> list[int | None]:
    return [0, 1] if network == "critic" else [None]


def gradient(name: str, network: str) -> PyTree:
    functions, state = learner(tiny_preset(name)), fixed_state(tiny_preset(name))
    batch = functions.statistics.preprocess(state, fixed_batch())
    if network == "critic":
        return jax.jit(jax.grad(lambda p: functions.critic_loss(p, state, batch, KEY)[0]))(state.critic.params)
    return jax.jit(jax.grad(lambda p: functions.actor_loss(p, state, batch, KEY)[0]))(state.actor.params)


# -------------------------------------------------------------------- a network made by hand


class Shallow:
    """A network of two layers for ``_measure``, which reads no more of it."""

    hidden_layers = (("torso", "dense_0"),)
    heads = (("head",),)


# Layer norms 5 and 2, gradient norms 10 and 1 over three and one parameters; a normalisation that does not count.
PARAMS = {
    "torso": {"dense_0": {"kernel": [[3.0, 0.0]], "bias": [4.0]}, "norm_0": {"scale": [7.0]}},
    "head": {"bias": [2.0]},
}
GRADS = {
    "torso": {"dense_0": {"kernel": [[0.0, 6.0]], "bias": [8.0]}, "norm_0": {"scale": [2.0]}},
    "head": {"bias": [1.0]},
}
# Three samples; the first and the fourth unit are zero on all of them.
HIDDEN = [[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
FEATURES = [[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]]


def arrays(tree: Any) -> Any:
    return jax.tree.map(jnp.array, tree, is_leaf=lambda x: isinstance(x, list))


@pytest.fixture(scope="module")
def by_hand(x64: None) -> NetworkDiagnostics:
    seen = {"after_dense_0": (jnp.array(HIDDEN),), "features": (jnp.array(FEATURES),)}
    return jax.tree.map(float, _measure(Shallow(), arrays(PARAMS), arrays(GRADS), seen))  # type: ignore[arg-type]


def test_norms_of_kernel_and_bias_together(by_hand: NetworkDiagnostics) -> None:
    assert by_hand.weight_norm == {"torso/dense_0": 5.0, "head": 2.0}
    assert by_hand.weight_norm_sum == 7.0
    assert by_hand.gradient_norm == {"torso/dense_0": 10.0, "head": 1.0}


def test_total_gradient_norm_includes_normalisations(by_hand: NetworkDiagnostics) -> None:
    assert by_hand.gradient_norm_total == pytest.approx((100.0 + 1.0 + 4.0) ** 0.5)


def test_the_effective_learning_rate_is_weighted_by_parameters(by_hand: NetworkDiagnostics) -> None:
    assert by_hand.effective_learning_rate == {"torso/dense_0": 2.0, "head": 0.5}
    assert by_hand.effective_learning_rate_mean == pytest.approx((3 * 2.0 + 1 * 0.5) / 4)


def test_dead_units_are_zero_on_the_whole_batch(by_hand: NetworkDiagnostics) -> None:
    assert by_hand.dead_units == 0.5


def test_features_are_measured_sample_by_sample(by_hand: NetworkDiagnostics) -> None:
    assert by_hand.feature_norm == pytest.approx((5.0 + 0.0 + 1.0) / 3)


# -------------------------------------------------------------------- on real networks


@pytest.mark.parametrize("network", ["critic", "actor"])
@pytest.mark.parametrize("name", [pytest.param("sac", marks=pytest.mark.slow), "crossq-wn"])
def test_weights_and_gradients_against_numpy(name: str, network: str) -> None:
    found, grads = diagnosed(name, network), gradient(name, network)
    params = getattr(fixed_state(tiny_preset(name)), network).params
    paths = LAYERS + HEADS[network]
    for by_layer in (found.weight_norm, found.gradient_norm, found.effective_learning_rate):
        assert by_layer.keys() == set(paths)
    sizes = {path: sum(leaf.size for leaf in layer(params, path).values()) for path in paths}
    means = []
    for critic in members(network):
        rates = {p: norm(layer(grads, p), critic) / norm(layer(params, p), critic) for p in paths}
        means.append(sum(rates[p] * sizes[p] for p in paths) / sum(sizes.values()))
    for path in paths:
        weight = [norm(layer(params, path), critic) for critic in members(network)]
        slope = [norm(layer(grads, path), critic) for critic in members(network)]
        ratio = np.divide(slope, weight)
        np.testing.assert_allclose(found.weight_norm[path], np.mean(weight), rtol=1e-10)
        np.testing.assert_allclose(found.gradient_norm[path], np.mean(slope), rtol=1e-8)
        np.testing.assert_allclose(found.effective_learning_rate[path], np.mean(ratio), rtol=1e-8)
    np.testing.assert_allclose(found.effective_learning_rate_mean, np.mean(means), rtol=1e-6)
    np.testing.assert_allclose(found.weight_norm_sum, sum(found.weight_norm.values()), rtol=1e-12)


def test_projected_layers_have_norm_root_width() -> None:
    for network in ("critic", "actor"):
        found = diagnosed("crossq-wn", network)
        for path in LAYERS:
            np.testing.assert_allclose(found.weight_norm[path], np.sqrt(6.0), rtol=1e-10)


def kill(state: LearnerState, network: str, unit: int, critic: int | None = None) -> LearnerState:
    """Give one unit of the first hidden layer no weights and a negative bias: it is zero for every input."""
    trained = getattr(state, network)
    params = trained.params
    first = params["torso"]["dense_0"]
    place = (unit,) if critic is None else (critic, unit)
    rows = (slice(None), unit) if critic is None else (critic, slice(None), unit)
    dead = {"kernel": first["kernel"].at[rows].set(0.0), "bias": first["bias"].at[place].set(-1.0)}
    params = {**params, "torso": {**params["torso"], "dense_0": dead}}
    return state._replace(**{network: trained._replace(params=params)})


def alive_everywhere(state: LearnerState) -> LearnerState:
    """Give every unit of both networks a bias large enough to be positive for every input."""

    def lift(params: PyTree) -> PyTree:
        torso = dict(params["torso"])
        for name, by in (("dense_0", 100.0), ("dense_1", 1e4)):
            torso[name] = {**torso[name], "bias": torso[name]["bias"] + by}
        return {**params, "torso": torso}

    return state._replace(
        actor=state.actor._replace(params=lift(state.actor.params)),
        critic=state.critic._replace(params=lift(state.critic.params)),
    )


def test_a_dead_unit_is_found_in_the_network_it_belongs_to() -> None:
    """Two hidden layers of six units; of two critics, one has two dead units: an average of 1 in 12."""
    state = alive_everywhere(fixed_state(SAC))

    def shares(state: LearnerState) -> tuple[float, float]:
        critic, actor = (compiled("sac", network)(state, fixed_batch(), KEY) for network in ("critic", "actor"))
        return float(critic.dead_units), float(actor.dead_units)

    assert shares(state) == (0.0, 0.0)
    assert shares(kill(state, "actor", 2)) == (0.0, pytest.approx(1 / 12))
    assert shares(kill(kill(state, "critic", 0, critic=1), "critic", 3, critic=1)) == (pytest.approx(1 / 12), 0.0)


def test_activations_use_running_statistics() -> None:
    """The feature norm of CrossQ + WN's torso by its own evaluation."""
    name = "crossq-wn"
    functions, state, batch = learner(tiny_preset(name)), fixed_state(tiny_preset(name)), fixed_batch()
    head = state.critic.params["head"]
    # A head that is the identity on each feature in turn gives the features themselves.
    squares = np.zeros((2, 8))
    for i in range(6):
        kernel = jnp.zeros_like(head["kernel"]).at[:, i].set(1.0)
        params = {**state.critic.params, "head": {"kernel": kernel, "bias": jnp.zeros_like(head["bias"])}}
        outputs = functions.critic.evaluate(state.critic._replace(params=params), batch.observation, batch.action)
        squares += np.asarray(outputs)[..., 0] ** 2
    np.testing.assert_allclose(diagnosed(name, "critic").feature_norm, np.sqrt(squares).mean(), rtol=1e-10)


def test_diagnostics_use_the_preprocessed_batch() -> None:
    """SimBa's networks are diagnosed on normalised observations, XQC's gradient on scaled rewards."""
    simba = tiny_preset("simba")
    state = fixed_state(simba)
    assert state.observations is not None
    moved = state._replace(observations=state.observations._replace(mean=state.observations.mean + 1.0))
    here, there = (compiled("simba", "actor")(s, fixed_batch(), KEY).feature_norm for s in (state, moved))
    assert float(here) != pytest.approx(float(there), rel=1e-6)


@pytest.mark.parametrize("preset", every_preset())
def test_every_preset_can_be_diagnosed(preset: str) -> None:
    """In shapes alone: every number is a scalar, and every dense layer has its own."""
    algorithm = tiny_preset(preset)
    state = jax.eval_shape(learner(algorithm).init, jax.random.key(0))
    for diagnose, network in ((diagnose_critic, learner(algorithm).critic), (diagnose_actor, learner(algorithm).actor)):
        found = jax.eval_shape(
            lambda state, batch, key, diagnose=diagnose: diagnose(learner(algorithm), state, batch, key),
            *(state, fixed_batch(), KEY),
        )
        paths = ["/".join(path) for path in (*network.hidden_layers, *network.heads)]
        assert found.weight_norm.keys() == set(paths)
        assert {leaf.shape for leaf in jax.tree.leaves(found)} == {()}


def test_parameters_are_counted_without_targets_and_temperature() -> None:
    state = fixed_state(SAC)
    actor = 3 * 6 + 6 + 6 * 6 + 6 + 2 * (6 * 2 + 2)
    critic = 5 * 6 + 6 + 6 * 6 + 6 + 6 + 1
    assert parameter_count(state) == actor + 2 * critic
    bro = fixed_state(tiny_preset("bro"))
    assert bro.optimist is not None
    second = sum(leaf.size for leaf in jax.tree.leaves(bro.optimist.params))
    assert second > 0
    assert parameter_count(bro) == parameter_count(bro._replace(optimist=None)) + second
