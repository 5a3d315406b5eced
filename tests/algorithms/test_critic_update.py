"""One critic update against NumPy: the joint pass, the target critic, the loss, the gradient, the optimiser step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surefoot.algorithms import Algorithm, CriticMetrics, LearnerState
from surefoot.algorithms.policy_distribution import sample_with_log_prob
from surefoot.types import Batch, PyTree
from tests.algorithms.reference import EPSILON, Pass, adamw_first_step, member, training_pass
from tests.algorithms.support import (
    CRITIC_WIDTHS,
    DISCOUNT,
    compiled_update,
    fixed_batch,
    fixed_state,
    fresh_state,
    learner,
    named_leaves,
    next_action_key,
    tiny,
)

pytestmark = pytest.mark.usefixtures("x64")

WITH_TARGET = tiny()
WITHOUT_TARGET = tiny(target=None)
NORMS = ("input_norm", *(f"norm_{i}" for i in range(len(CRITIC_WIDTHS))))
KEY = 11


class Step(NamedTuple):
    """One critic update and its inputs."""

    before: LearnerState
    batch: Batch
    next_action: jax.Array
    next_log_prob: jax.Array
    after: LearnerState
    metrics: CriticMetrics


def take_step(algorithm: Algorithm, state: LearnerState | None = None, batch: Batch | None = None) -> Step:
    state = fixed_state(algorithm) if state is None else state
    batch = fixed_batch() if batch is None else batch
    key = jax.random.key(KEY)
    after, metrics, _ = compiled_update(algorithm)(state, batch, key, jnp.bool_(False))
    mean, log_std = learner(algorithm).actor.evaluate(state.actor, batch.next_observation)
    return Step(state, batch, *sample_with_log_prob(mean, log_std, next_action_key(key)), after, metrics)


@pytest.fixture(scope="module")
def step(x64: None) -> Step:
    return take_step(WITH_TARGET)


def inputs(step: Step) -> tuple[np.ndarray, np.ndarray]:
    first = np.concatenate([step.batch.observation, step.batch.action], axis=-1)
    return first, np.concatenate([step.batch.next_observation, step.next_action], axis=-1)


def joint_passes(step: Step, params: PyTree) -> list[Pass]:
    both = np.concatenate(inputs(step))
    return [training_pass(member(params, c), both) for c in range(2)]


def target_value(step: Step, next_q: np.ndarray) -> np.ndarray:
    alpha = np.exp(float(step.before.log_alpha))
    next_value = next_q.min(axis=0) - alpha * np.asarray(step.next_log_prob)
    return np.asarray(step.batch.reward) + DISCOUNT * (1.0 - np.asarray(step.batch.terminated)) * next_value


def expected_loss(step: Step, bootstrap_params: PyTree) -> float:
    size = len(step.batch.reward)
    target = target_value(step, np.stack([p.output[size:] for p in joint_passes(step, bootstrap_params)]))
    q = np.stack([p.output[:size] for p in joint_passes(step, step.before.critic.params)])
    return float((0.5 * ((q - target) ** 2).mean(axis=1)).sum())


def first_gradient(step: Step) -> PyTree:
    """Return the gradient of the critic's loss, recovered from Adam's first moment."""
    mean = optax.tree_utils.tree_get(step.after.critic.opt_state, "mu")
    return jax.tree.map(lambda m: m / (1.0 - WITH_TARGET.critic_optimizer.b1), mean)


# -------------------------------------------------------------------- the joint pass


def test_running_statistics_are_those_of_the_concatenated_batch(step: Step) -> None:
    passes = joint_passes(step, step.before.critic.params)
    before, after = step.before.critic.batch_stats["torso"], step.after.critic.batch_stats["torso"]
    for c, one in enumerate(passes):
        for name in NORMS:
            for kind, batch_value in zip(("mean", "var"), one.statistics[name], strict=True):
                expected = 0.99 * before[name][kind][c] + 0.01 * batch_value
                np.testing.assert_allclose(after[name][kind][c], expected, rtol=1e-10, atol=1e-14, err_msg=name)


def test_loss_uses_the_first_half_and_the_target_parameters(step: Step) -> None:
    assert float(step.metrics.critic_loss) == pytest.approx(expected_loss(step, step.before.target_critic), rel=1e-10)
    assert float(step.metrics.critic_loss) != pytest.approx(expected_loss(step, step.before.critic.params), rel=1e-3)


def test_metrics_match_numpy(step: Step) -> None:
    size = len(step.batch.reward)
    q = np.stack([p.output[:size] for p in joint_passes(step, step.before.critic.params)])
    next_q = np.stack([p.output[size:] for p in joint_passes(step, step.before.target_critic)])
    assert float(step.metrics.q_mean) == pytest.approx(q.mean(), rel=1e-10)
    assert float(step.metrics.target_mean) == pytest.approx(target_value(step, next_q).mean(), rel=1e-10)
    squares = sum((gradient**2).sum() for gradient in named_leaves(first_gradient(step)).values())
    assert float(step.metrics.critic_grad_norm) == pytest.approx(np.sqrt(squares), rel=1e-10)


def test_separate_passes_match_numpy(step: Step) -> None:
    separate = take_step(tiny(critic_pass="separate"))
    assert float(separate.metrics.critic_loss) != pytest.approx(float(step.metrics.critic_loss), rel=1e-3)
    statistics = separate.after.critic.batch_stats["torso"]["input_norm"]["mean"]
    joint = step.after.critic.batch_stats["torso"]["input_norm"]["mean"]
    assert np.abs(np.asarray(statistics - joint)).max() > 1e-3
    # ... and are each normalised with their own statistics.
    current, following = inputs(separate)
    q = np.stack([training_pass(member(separate.before.critic.params, c), current).output for c in range(2)])
    next_q = np.stack([training_pass(member(separate.before.target_critic, c), following).output for c in range(2)])
    loss = (0.5 * ((q - target_value(separate, next_q)) ** 2).mean(axis=1)).sum()
    assert float(separate.metrics.critic_loss) == pytest.approx(float(loss), rel=1e-10)
    own = 0.99 * separate.before.critic.batch_stats["torso"]["input_norm"]["mean"] + 0.01 * current.mean(axis=0)[None]
    np.testing.assert_allclose(statistics, own, rtol=1e-10)


# -------------------------------------------------------------------- without a target


def jax_pass(params: PyTree, current: jax.Array, following: jax.Array, constant_statistics: bool) -> jax.Array:
    """Return one critic's joint pass [2B] in plain JAX, optionally with constant statistics of the second half."""

    def normalise(x: jax.Array, p: PyTree) -> jax.Array:
        first, second = jnp.split(x, 2)
        joint = jnp.concatenate([first, jax.lax.stop_gradient(second) if constant_statistics else second])
        mean, variance = joint.mean(axis=0, keepdims=True), joint.var(axis=0, keepdims=True)
        return (x - mean) / jnp.sqrt(variance + EPSILON) * p["scale"][None] + p["bias"][None]

    torso = params["torso"]
    x = normalise(jnp.concatenate([current, following]), torso["input_norm"])
    for i in range(len(CRITIC_WIDTHS)):
        layer = torso[f"dense_{i}"]
        x = normalise(jnp.maximum(x @ layer["kernel"] + layer["bias"][None], 0.0), torso[f"norm_{i}"])
    return (x @ params["head"]["kernel"] + params["head"]["bias"][None])[:, 0]


def reference_gradient(step: Step, *, constant_statistics: bool = False, constant_output: bool = True) -> PyTree:
    current, following = map(jnp.asarray, inputs(step))
    alpha = jnp.exp(step.before.log_alpha)

    def loss(params: PyTree) -> jax.Array:
        both = [
            jax_pass(jax.tree.map(lambda x, c=c: x[c], params), current, following, constant_statistics)
            for c in range(2)
        ]
        q, next_q = jnp.split(jnp.stack(both), 2, axis=-1)
        value = next_q.min(axis=0) - alpha * step.next_log_prob
        target = step.batch.reward + DISCOUNT * (1.0 - step.batch.terminated) * value
        if constant_output:
            target = jax.lax.stop_gradient(target)
        return jnp.sum(jnp.mean(0.5 * (q - target[None]) ** 2, axis=-1))

    return jax.jit(jax.grad(loss))(step.before.critic.params)


def furthest(a: PyTree, b: PyTree) -> float:
    left, right = named_leaves(a), named_leaves(b)
    assert left.keys() == right.keys()
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


@pytest.fixture(scope="module")
def without_target(x64: None) -> Step:
    return take_step(WITHOUT_TARGET)


def test_without_target_gradient_flows_through_shared_statistics_only(without_target: Step) -> None:
    step = without_target
    gradient = first_gradient(step)
    assert float(step.metrics.critic_loss) == pytest.approx(expected_loss(step, step.before.critic.params), rel=1e-10)
    assert furthest(gradient, reference_gradient(step)) < 1e-10
    assert furthest(gradient, reference_gradient(step, constant_statistics=True)) > 1e-3
    assert furthest(gradient, reference_gradient(step, constant_output=False)) > 1e-3


def test_without_target_state_has_none(without_target: Step) -> None:
    assert without_target.before.target_critic is None
    assert without_target.after.target_critic is None


# -------------------------------------------------------------------- the target critic


def test_target_update_uses_the_updated_critic(step: Step) -> None:
    expected = jax.tree.map(lambda t, q: 0.995 * t + 0.005 * q, step.before.target_critic, step.after.critic.params)
    assert furthest(step.after.target_critic, expected) < 1e-14
    too_early = jax.tree.map(lambda t, q: 0.995 * t + 0.005 * q, step.before.target_critic, step.before.critic.params)
    assert furthest(step.after.target_critic, too_early) > 1e-6


def test_target_starts_as_the_projected_critic() -> None:
    state = fresh_state(WITH_TARGET)
    assert furthest(state.target_critic, state.critic.params) == 0.0


def test_target_reads_no_running_statistics(step: Step) -> None:
    garbage = jax.tree.map(lambda x: x + 50.0, step.before.critic.batch_stats)
    other = take_step(WITH_TARGET, step.before._replace(critic=step.before.critic._replace(batch_stats=garbage)))
    assert float(other.metrics.critic_loss) == float(step.metrics.critic_loss)
    assert furthest(other.after.critic.params, step.after.critic.params) == 0.0


def test_termination_stops_the_bootstrap(step: Step) -> None:
    ended = take_step(WITH_TARGET, batch=step.batch._replace(terminated=jnp.ones(len(step.batch.reward))))
    assert float(ended.metrics.target_mean) == pytest.approx(float(step.batch.reward.mean()), rel=1e-12)


# -------------------------------------------------------------------- the optimiser's step


def test_step_is_adamw_with_projection_of_hidden_layers(step: Step) -> None:
    before, after = named_leaves(step.before.critic.params), named_leaves(step.after.critic.params)
    gradient, optimizer = named_leaves(first_gradient(step)), WITH_TARGET.critic_optimizer
    expected = {
        name: adamw_first_step(
            before[name], gradient[name], optimizer.learning_rate, 0.0 if "dense" in name else optimizer.weight_decay
        )
        for name in before
    }
    for i in range(len(CRITIC_WIDTHS)):
        kernel, bias = (f"['torso']['dense_{i}']['{kind}']" for kind in ("kernel", "bias"))
        norm = np.sqrt((expected[kernel] ** 2).sum(axis=-2) + expected[bias] ** 2)
        expected[kernel], expected[bias] = expected[kernel] / norm[:, None, :], expected[bias] / norm
    for name in before:
        np.testing.assert_allclose(after[name], expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_critic_update_keeps_actor_and_temperature(step: Step) -> None:
    assert furthest(step.after.actor, step.before.actor) == 0.0
    assert float(step.after.log_alpha) == float(step.before.log_alpha)
