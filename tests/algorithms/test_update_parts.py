"""Update order, L2 penalty, dropout and random subsets in the update."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surefoot.algorithms import Algorithm, L2Penalty, LearnerState, Temperature
from surefoot.types import PyTree
from tests.algorithms.support import (
    SPEC,
    compiled_update,
    fixed_batch,
    fixed_state,
    learner,
    named_leaves,
    same_bits,
    tiny,
    tiny_preset,
)

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(4)
SIMBA = tiny_preset("simba")


def after(algorithm: Algorithm, state: LearnerState) -> tuple[LearnerState, float]:
    state, _, actor = compiled_update(algorithm)(state, fixed_batch(), KEY, jnp.bool_(True))
    return state, float(actor.actor_loss)


def actor_loss(algorithm: Algorithm, state: LearnerState) -> float:
    functions = learner(algorithm)
    batch, key = functions.statistics.preprocess(state, fixed_batch()), jax.random.split(KEY, 3)[1]
    return float(functions.actor_loss(state.actor.params, state, batch, key)[0])


def critic_loss(algorithm: Algorithm, state: LearnerState, key: jax.Array = KEY) -> float:
    functions = learner(algorithm)
    batch = functions.statistics.preprocess(state, fixed_batch())
    return float(functions.critic_loss(state.critic.params, state, batch, key)[0])


# -------------------------------------------------------------------- order


@pytest.mark.slow
def test_actor_first_uses_the_old_critic_and_critic_first_the_new() -> None:
    first, last = SIMBA, SIMBA.replace(update_order="critic-first")
    state = fixed_state(SIMBA)
    updated, loss = after(first, state)
    assert loss == pytest.approx(actor_loss(SIMBA, state), rel=1e-9)
    updated_last, loss_last = after(last, state)
    with_new_critic = state._replace(critic=updated_last.critic)
    assert loss_last == pytest.approx(actor_loss(SIMBA, with_new_critic), rel=1e-9)
    assert loss != pytest.approx(loss_last, rel=1e-6)
    assert not same_bits(updated.actor.params, updated_last.actor.params)


def test_actor_first_bootstraps_from_the_new_policy_and_temperature() -> None:
    state = fixed_state(SIMBA)
    new, _ = after(SIMBA, state)
    _, metrics, _ = compiled_update(SIMBA)(state, fixed_batch(), KEY, jnp.bool_(True))
    key = jax.random.split(KEY, 3)[0]
    with_new_policy = state._replace(actor=new.actor, log_alpha=new.log_alpha)
    assert float(metrics.critic_loss) == pytest.approx(critic_loss(SIMBA, with_new_policy, key), rel=1e-9)
    assert float(metrics.critic_loss) != pytest.approx(critic_loss(SIMBA, state, key), rel=1e-6)


# -------------------------------------------------------------------- temperature


@pytest.mark.slow
@pytest.mark.parametrize(
    "temperature", [Temperature(target_entropy=-20.0), Temperature(target_entropy=20.0, loss="log-alpha")]
)
def test_temperature_gradient_by_hand(temperature: Temperature) -> None:
    """Alpha falls where the entropy is above its target, and rises below it."""
    algorithm = tiny(temperature=temperature)
    state = fixed_state(algorithm)
    updated, _, metrics = compiled_update(algorithm)(state, fixed_batch(), KEY, jnp.bool_(True))
    excess = float(metrics.entropy) - SPEC.action_size * temperature.target_entropy
    gradient = excess * (float(state.alpha) if temperature.loss == "alpha" else 1.0)
    mean = optax.tree_utils.tree_get(updated.temperature_opt_state, "mu")
    assert float(mean) == pytest.approx((1.0 - temperature.optimizer.b1) * gradient, rel=1e-10)
    assert np.sign(updated.log_alpha - state.log_alpha) == -np.sign(excess) == np.sign(temperature.target_entropy)


# -------------------------------------------------------------------- L2 penalty


def squares(params: PyTree) -> float:
    """Return the squared norm of the hidden layers, biases included, of all critics."""
    return sum(float(np.square(leaf).sum()) for name, leaf in named_leaves(params).items() if "dense" in name)


def test_penalty_is_the_squared_norm_of_hidden_layers() -> None:
    plain, held = tiny(weight_constraint=None), tiny(weight_constraint=L2Penalty(0.3))
    state = fixed_state(plain)
    by_hand = 0.3 * squares(state.critic.params)
    assert critic_loss(held, state) - critic_loss(plain, state) == pytest.approx(by_hand, rel=1e-10)
    by_hand = 0.3 * squares(state.actor.params)
    assert actor_loss(held, state) - actor_loss(plain, state) == pytest.approx(by_hand, rel=1e-10)


def test_penalty_gradient_by_hand() -> None:
    held = tiny(weight_constraint=L2Penalty(0.3))
    state = fixed_state(held)
    for network, trained in ((learner(held).critic, state.critic), (learner(held).actor, state.actor)):
        params = named_leaves(trained.params)
        for name, gradient in named_leaves(jax.grad(network.penalty)(trained.params)).items():
            expected = 0.6 * params[name] if "dense" in name else np.zeros_like(params[name])
            np.testing.assert_allclose(gradient, expected, rtol=1e-12, err_msg=name)


# -------------------------------------------------------------------- randomness inside of the losses


def test_dropout_depends_on_the_key_in_both_losses() -> None:
    """All transitions are terminal, so losses differ only by dropout."""
    droq = tiny_preset("droq")
    none = droq.replace(critic=dataclasses.replace(droq.critic, dropout=0.0))
    droq = droq.replace(critic=dataclasses.replace(droq.critic, dropout=0.5))
    state, batch = fixed_state(droq), fixed_batch()._replace(terminated=jnp.ones(8))

    def loss(algorithm: Algorithm, key: jax.Array) -> float:
        return float(learner(algorithm).critic_loss(state.critic.params, state, batch, key)[0])

    assert loss(droq, KEY) == loss(droq, KEY)
    assert loss(droq, KEY) != loss(droq, jax.random.key(5))
    assert loss(none, KEY) == pytest.approx(loss(none, jax.random.key(5)), rel=1e-12)
    # The critics also use dropout in the policy's loss (DroQ, algorithm 2).
    assert actor_loss(droq, state) != pytest.approx(actor_loss(none, state), rel=1e-6)


def test_acting_is_without_dropout() -> None:
    algorithm = tiny_preset("droq").replace(actor=tiny_preset("droq").critic)
    state, functions = fixed_state(algorithm), learner(algorithm)
    one, other = (functions.act_deterministic(state, fixed_batch().observation) for _ in range(2))
    assert same_bits(one, other)
    mean = functions.actor.module.apply({"params": state.actor.params}, fixed_batch().observation, False)[0]
    np.testing.assert_allclose(one, np.tanh(mean), rtol=1e-12)


def test_redq_redraws_its_pair_in_every_update() -> None:
    """With a constant policy of no entropy, the target depends on the key only through the pair."""
    redq = tiny_preset("redq")
    functions, batch, state = learner(redq), fixed_batch(), fixed_state(redq)
    params = jax.tree.map(jnp.zeros_like, state.actor.params)
    params["log_std"]["bias"] = jnp.full(SPEC.action_size, -20.0)
    state = state._replace(actor=state.actor._replace(params=params), log_alpha=jnp.array(-40.0))
    target = jax.jit(lambda key: functions.critic_loss(state.critic.params, state, batch, key)[1][2])
    targets = {round(float(target(jax.random.key(i))), 5) for i in range(40)}
    assert len(targets) == 3, "of three critics there are three pairs"
