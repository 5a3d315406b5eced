"""BRO's second policy against values computed by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surefoot.algorithms import AdamW, OptimisticActor
from surefoot.algorithms.optimism import Optimist, OptimistState
from surefoot.networks import BroNet
from tests.algorithms.support import SPEC, fixed_batch, fixed_state, learner, named_leaves, same_bits, tiny_preset

pytestmark = pytest.mark.usefixtures("x64")

CONFIG = OptimisticActor(
    torso=BroNet(6, 1), optimizer=AdamW(1e-2), weight_optimizer=AdamW(1e-2), initial_optimism=2.0, initial_kl_weight=0.5
)
BATCH, KEY = 8, jax.random.key(3)
LOW, HIGH = -10.0, 7.5  # of the logarithm of both weights


def weights(state: OptimistState) -> list[float]:
    """Return the optimism and the KL weight, from the formula."""
    return np.exp(LOW + 0.5 * (HIGH - LOW) * (1.0 + np.tanh(np.asarray(state.weights)))).tolist()


def init_optimist(config: OptimisticActor = CONFIG, shift: float | None = None) -> tuple[Optimist, OptimistState]:
    """Return a second policy in float64, with a given constant shift or the initial one."""
    optimist = Optimist(config, SPEC, 1.0)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, optimist.init(KEY))
    if shift is not None:
        # The last normalisation outputs ones and the residual branch zeros, so all features are 1 and the head's
        # outputs equal ``shift``.
        params = jax.tree.map(jnp.zeros_like, state.params)
        norm = {**params["torso"]["norm"], "bias": jnp.full(6, 1.0)}
        kernel = jnp.zeros((6, SPEC.action_size)).at[0].set(shift)
        state = state._replace(
            params={**params, "torso": {**params["torso"], "norm": norm}, "shift": {"kernel": kernel}}
        )
    return optimist, state


def first_policy(seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    observation, mean = rng.normal(size=(BATCH, SPEC.observation_size)), rng.normal(size=(BATCH, SPEC.action_size))
    return jnp.asarray(observation), jnp.asarray(mean), jnp.full((BATCH, SPEC.action_size), math.log(0.5))


def flat(action: jax.Array, optimism: jax.Array) -> jax.Array:
    """Return a value independent of the action."""
    return jnp.zeros(action.shape[0])


def test_initial_weights_match_the_configuration() -> None:
    assert weights(init_optimist()[1]) == pytest.approx([2.0, 0.5], rel=1e-5)


def test_initial_shift_is_small_and_without_bias() -> None:
    """The head is orthogonal with gain 0.01 on layer-normalised features."""
    optimist, state = init_optimist()
    assert set(state.params["shift"]) == {"kernel"}
    kernel = np.asarray(state.params["shift"]["kernel"])
    np.testing.assert_allclose(kernel.T @ kernel, 1e-4 * np.eye(SPEC.action_size), atol=1e-9)
    observation, mean, _ = first_policy()
    shift = optimist.module.apply({"params": state.params}, observation, mean, False)
    assert 0.0 < float(jnp.abs(shift).max()) < 0.1


def test_exploration_shifts_the_mean_and_scales_the_deviation() -> None:
    optimist, state = init_optimist(dataclasses.replace(CONFIG, std_scale=0.25), shift=0.3)
    observation, mean, log_std = first_policy()
    noise = np.asarray(jax.random.normal(KEY, mean.shape, mean.dtype))
    action = optimist.explore(state, observation, mean, log_std, KEY)
    np.testing.assert_allclose(action, np.tanh(np.asarray(mean) + 0.3 + 0.25 * 0.5 * noise), rtol=1e-10)


@pytest.mark.parametrize(("shift", "above"), [(0.3, True), (0.05, False)])
def test_weights_react_to_the_divergence(shift: float, above: bool) -> None:
    """KL per dimension is (shift / std)^2 / 2 = 0.18 or 0.005, against a target of 0.05."""
    optimist, before = init_optimist(shift=shift)
    observation, mean, log_std = first_policy()
    after = optimist.update(before, observation, mean, log_std, flat, KEY)
    (optimism, kl_weight), (new_optimism, new_kl_weight) = weights(before), weights(after)
    assert (new_optimism < optimism) == above
    assert (new_kl_weight > kl_weight) == above
    # The loss is (optimism - KL weight) (KL - target), and each weight's slope follows from the tanh.
    excess = 0.5 * (shift / 0.5) ** 2 - 0.05
    raw = np.asarray(before.weights)
    slope = 0.5 * (HIGH - LOW) * (1.0 - np.tanh(raw) ** 2) * np.array([optimism, -kl_weight])
    mean_gradient = np.asarray(optax.tree_utils.tree_get(after.weights_opt_state, "mu")) / 0.1
    np.testing.assert_allclose(mean_gradient, excess * slope, rtol=1e-5)


def test_weights_are_stationary_at_the_target() -> None:
    optimist, before = init_optimist(dataclasses.replace(CONFIG, target_kl=0.18), shift=0.3)
    after = optimist.update(before, *first_policy(), flat, KEY)
    gradient = optax.tree_utils.tree_get(after.weights_opt_state, "mu")
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


def test_loss_by_hand() -> None:
    """The gradient, recovered from Adam's first moment, is that of the head for a constant shift."""
    optimist, before = init_optimist(shift=0.3)
    observation, mean, log_std = first_policy()

    def value(action: jax.Array, optimism: jax.Array) -> jax.Array:
        return (1.0 + optimism) * jnp.sum(action, axis=-1)

    after = optimist.update(before, observation, mean, log_std, value, KEY)
    gradient = np.asarray(optax.tree_utils.tree_get(after.opt_state, "mu")["shift"]["kernel"]) / 0.1
    # All features are one, so the gradient of each kernel entry is that of its column's shift.
    noise = np.asarray(jax.random.normal(KEY, mean.shape, mean.dtype))
    raw = np.asarray(mean) + 0.3 + 0.75 * 0.5 * noise
    optimism, kl_weight = weights(before)
    by_shift = kl_weight * 0.3 / 0.5**2 - (1.0 + optimism) * (1.0 - np.tanh(raw) ** 2).mean(axis=0)
    np.testing.assert_allclose(gradient, np.broadcast_to(by_shift, gradient.shape), rtol=1e-5)


@pytest.mark.parametrize("target_kl", [0.05, 0.2])
def test_divergence_converges_to_its_target(target_kl: float) -> None:
    """Towards large actions; the KL per dimension, averaged over the last updates of many."""
    optimist, state = init_optimist(dataclasses.replace(CONFIG, target_kl=target_kl, weight_optimizer=AdamW(3e-3)))
    observation, mean, log_std = first_policy()
    mean = 0.3 * mean

    def value(action: jax.Array, optimism: jax.Array) -> jax.Array:
        return optimism * jnp.sum(action, axis=-1)

    def step(state: OptimistState, key: jax.Array) -> tuple[OptimistState, jax.Array]:
        state = optimist.update(state, observation, mean, log_std, value, key)
        return state, optimist.module.apply({"params": state.params}, observation, mean, False)

    _, shifts = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))(state, jax.random.split(KEY, 1500))
    last = np.asarray(shifts[-500:])
    assert last.mean() > 0.0
    assert (0.5 * (last / 0.5) ** 2).mean() == pytest.approx(target_kl, rel=0.05)


# -------------------------------------------------------------------- in the learner


def moved(state: Any, by: float) -> Any:
    optimist = state.optimist._replace(params=jax.tree.map(lambda x: x + by, state.optimist.params))
    return state._replace(optimist=optimist)


def test_second_policy_explores_and_first_is_evaluated() -> None:
    functions, state = learner(tiny_preset("bro")), fixed_state(tiny_preset("bro"))
    batch, other = fixed_batch(), moved(state, 0.5)
    observation = batch.observation[0]
    assert not same_bits(functions.act(state, observation, KEY), functions.act(other, observation, KEY))
    assert same_bits(
        functions.act_deterministic(state, batch.observation), functions.act_deterministic(other, batch.observation)
    )
    mean, log_std = functions.actor.evaluate(state.actor, observation[None])
    shift = functions.optimist.module.apply({"params": state.optimist.params}, observation[None], mean, False)
    noise = jax.random.normal(KEY, mean.shape, mean.dtype)
    expected = jnp.tanh(mean + shift + 0.75 * jnp.exp(log_std) * noise)[0]
    np.testing.assert_allclose(functions.act(state, observation, KEY), expected, rtol=1e-10)


def test_losses_do_not_depend_on_the_second_policy() -> None:
    functions, state = learner(tiny_preset("bro")), fixed_state(tiny_preset("bro"))
    other = moved(state, 0.5)
    for loss, params in ((functions.critic_loss, state.critic.params), (functions.actor_loss, state.actor.params)):
        assert float(loss(params, state, fixed_batch(), KEY)[0]) == float(loss(params, other, fixed_batch(), KEY)[0])


def test_upper_bound_is_mean_plus_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    functions, state, batch = learner(tiny_preset("bro")), fixed_state(tiny_preset("bro")), fixed_batch()
    bounds: list[Any] = []

    def note(self: Optimist, state: OptimistState, *arguments: Any) -> OptimistState:
        bounds.append(arguments[3])
        return state

    monkeypatch.setattr(Optimist, "update", note)
    functions._update_optimist(state, batch, KEY)
    quantiles = np.asarray(functions.critic.evaluate(state.critic, batch.observation, batch.action))
    by_hand = quantiles.mean(axis=(0, 2)) + 3.0 * np.abs(quantiles - quantiles.mean(axis=0)).mean(axis=(0, 2))
    np.testing.assert_allclose(bounds[0](batch.action, jnp.array(3.0)), by_hand, rtol=1e-10)


def test_second_policy_follows_the_policy_delay() -> None:
    """A policy delay applies to both policies."""
    algorithm = tiny_preset("bro").replace(policy_delay=2)
    state = fixed_state(algorithm)
    after, _, _ = jax.jit(learner(algorithm).update)(state, fixed_batch(), KEY, jnp.bool_(False))
    assert same_bits(named_leaves(after.optimist), named_leaves(state.optimist))
