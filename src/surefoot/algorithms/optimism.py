"""BRO's optimistic exploration policy: arXiv 2405.16158 (appendix) and its authors' code.

The second policy adds a learned shift to the first policy's mean and has a smaller standard deviation. Its loss is
-(mean Q + optimism x disagreement) + KL weight x KL(second, first). Both weights are trained so that the KL per action
dimension reaches its target: above it, optimism decreases and the KL weight increases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.parts import LOG_WEIGHT_BOUNDS, OptimisticActor
from surefoot.algorithms.policy_distribution import sample_with_log_prob
from surefoot.networks import ShiftActor
from surefoot.types import Array, EnvSpec, PyTree


class OptimistState(NamedTuple):
    """State of the second policy and of its two weights."""

    params: PyTree
    opt_state: PyTree
    weights: jax.Array
    """[2] raw optimism and raw KL weight: exp(low + (high - low) (1 + tanh(raw)) / 2)."""
    weights_opt_state: PyTree


class Optimist:
    """The second policy of one seed, as pure functions.

    Args:
        config: Hyperparameters.
        spec: Sizes of the environment.
        updates_per_agent_step: Updates per agent step.
    """

    def __init__(self, config: OptimisticActor, spec: EnvSpec, updates_per_agent_step: float) -> None:
        self.config, self.spec = config, spec
        self.module = ShiftActor(config.torso, spec.action_size)
        self._optimizer = make_optimizer(config.optimizer, updates_per_agent_step, config.torso.hidden_layers)
        self._weights_optimizer = make_optimizer(config.weight_optimizer, updates_per_agent_step)

    def init(self, key: jax.Array) -> OptimistState:
        """Return the initial state."""
        columns, action_size = self.spec.actor_columns, self.spec.action_size
        size = self.spec.observation_size if columns is None else len(columns)
        observation, mean = jnp.zeros((1, size)), jnp.zeros((1, action_size))
        params = self.module.init(key, observation, mean, False)["params"]
        weights = jnp.array([_raw(self.config.initial_optimism), _raw(self.config.initial_kl_weight)])
        return OptimistState(params, self._optimizer.init(params), weights, self._weights_optimizer.init(weights))

    def explore(
        self, state: OptimistState, observation: Array, mean: jax.Array, log_std: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Draw exploring actions [B, A], given the first policy's mean and log standard deviation [B, A]."""
        shift = self.module.apply({"params": state.params}, observation, mean, False)
        return sample_with_log_prob(mean + shift, log_std + math.log(self.config.std_scale), key)[0]

    def loss(
        self,
        params: PyTree,
        weights: jax.Array,
        observation: Array,
        mean: jax.Array,
        log_std: jax.Array,
        upper_bound: Callable[[jax.Array, jax.Array], jax.Array],
        key: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Return the second policy's loss and the KL divergence, both []; see ``update`` for the arguments."""
        optimism, kl_weight = _weight(weights[0]), _weight(weights[1])
        shift = self.module.apply({"params": params}, observation, mean, True)
        action, _ = sample_with_log_prob(mean + shift, log_std + math.log(self.config.std_scale), key)
        # KL(second, first), as if both had the first policy's standard deviation.
        kl = jnp.mean(jnp.sum(0.5 * jnp.square(shift / jnp.exp(log_std)), axis=-1))
        return kl_weight * kl - jnp.mean(upper_bound(action, optimism)), kl

    def update(
        self,
        state: OptimistState,
        observation: Array,
        mean: jax.Array,
        log_std: jax.Array,
        upper_bound: Callable[[jax.Array, jax.Array], jax.Array],
        key: jax.Array,
    ) -> OptimistState:
        """Update the second policy and both weights.

        Args:
            state: Current state.
            observation: [B, O], the entries that the policy receives.
            mean: [B, A] mean of the first policy, a constant.
            log_std: [B, A] log standard deviation of the first policy, a constant.
            upper_bound: Function (actions [B, A], optimism []) -> optimistic values [B].
            key: Random key of the actions.
        """
        grads, kl = jax.grad(self.loss, has_aux=True)(
            state.params, state.weights, observation, mean, log_std, upper_bound, key
        )
        updates, opt_state = self._optimizer.update(grads, state.opt_state, state.params)
        excess = kl / self.spec.action_size - self.config.target_kl

        def weights_loss(weights: jax.Array) -> jax.Array:
            return (_weight(weights[0]) - _weight(weights[1])) * excess

        change, weights_opt_state = self._weights_optimizer.update(
            jax.grad(weights_loss)(state.weights), state.weights_opt_state, state.weights
        )
        return OptimistState(
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            weights=state.weights + change,
            weights_opt_state=weights_opt_state,
        )


def _weight(raw: jax.Array) -> jax.Array:
    low, high = LOG_WEIGHT_BOUNDS
    return jnp.exp(low + 0.5 * (high - low) * (1.0 + jnp.tanh(raw)))


def _raw(weight: float) -> float:
    low, high = LOG_WEIGHT_BOUNDS
    return math.atanh((math.log(weight) - low) / (0.5 * (high - low)) - 1.0)
