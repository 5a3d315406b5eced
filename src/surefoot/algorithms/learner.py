"""The learner: init, act and update for one seed. Read this file first.

Soft actor-critic with the parts of ``Algorithm``. Nothing here knows of seeds, environments or files; ``LearnerState``
is everything a checkpoint must hold. Order of one update (arXiv 2502.07523, section 3, and the authors' code):

    critic -> target critic -> [every policy_delay-th update: actor -> temperature]
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from surefoot import networks
from surefoot.algorithms.bootstrap import soft_target
from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import squared_error
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.policy_distribution import sample_with_log_prob
from surefoot.algorithms.temperature import temperature_loss
from surefoot.types import Array, Batch, EnvSpec, PyTree


class NetworkState(NamedTuple):
    """A network that is being trained."""

    params: PyTree
    """Weights and biases, by layer."""
    batch_stats: PyTree
    """Running means and variances of the batch normalisations; an empty dict where there are none."""
    opt_state: PyTree
    """Of its optimiser."""


class LearnerState(NamedTuple):
    """All that one seed has learned. The count of updates is shared by all seeds and therefore not in here."""

    actor: NetworkState
    """The policy's network."""
    critic: NetworkState
    """Every leaf has a leading axis C."""
    target_critic: PyTree | None
    """Parameters of the target critic, which reads no running statistics; None where the algorithm has no target."""
    log_alpha: jax.Array
    """[] logarithm of the entropy temperature."""
    temperature_opt_state: PyTree
    """Of the optimiser of log_alpha."""
    key: jax.Array
    """The seed's own random key, for exploration, replay indices and policy noise alike."""


class CriticMetrics(NamedTuple):
    """Of one critic update; all []."""

    critic_loss: jax.Array
    """Squared error, mean over the batch, summed over critics, times the algorithm's loss scale."""
    q_mean: jax.Array
    """Mean over critics and batch of Q(s, a)."""
    target_mean: jax.Array
    """Mean over the batch of the regression target."""
    critic_grad_norm: jax.Array
    """L2 norm of the gradient of all critics together."""


class ActorMetrics(NamedTuple):
    """Of one update of actor and temperature; all []."""

    actor_loss: jax.Array
    """Mean over the batch of alpha log pi - min Q."""
    entropy: jax.Array
    """-mean log pi of the actor's batch, in nats."""
    temperature: jax.Array
    """alpha after the update."""
    actor_grad_norm: jax.Array
    """L2 norm of the actor's gradient."""


class Learner:
    """An algorithm for an environment of given sizes: pure functions on a ``LearnerState``.

    Args:
        algorithm: the composition.
        spec: sizes of the environment.
        discount: gamma per agent step, the algorithm's own or else the task's.

    Attributes:
        algorithm: the composition.
        spec: sizes of the environment.
        discount: gamma per agent step.
        target_entropy: in nats, for all A action entries together.
        actor: the policy's network.
        critic: all C critics as one network.
    """

    def __init__(self, algorithm: Algorithm, spec: EnvSpec, discount: float) -> None:
        self.algorithm = algorithm
        self.spec = spec
        self.discount = discount
        self.target_entropy = algorithm.temperature.target_entropy * spec.action_size
        self.actor = networks.Actor(algorithm.actor, algorithm.log_std, spec.action_size)
        self.critic = networks.critic_ensemble(algorithm.critic, algorithm.num_critics)
        often, seldom = algorithm.utd, algorithm.utd / algorithm.policy_delay
        self._critic_optimizer = make_optimizer(algorithm.critic_optimizer, often, algorithm.critic.hidden_layers)
        self._actor_optimizer = make_optimizer(algorithm.actor_optimizer, seldom, algorithm.actor.hidden_layers)
        self._temperature_optimizer = make_optimizer(algorithm.temperature.optimizer, seldom)

    # ---------------------------------------------------------------- init and act

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh state; ``key`` is the seed's root key."""
        actor_key, critic_key, key = jax.random.split(key, 3)
        observation = jnp.zeros((1, self.spec.observation_size))
        action = jnp.zeros((1, self.spec.action_size))
        actor = self.actor.init(actor_key, observation, False)
        critic = self.critic.init(critic_key, observation, action, False)
        actor_params = self._constrain(actor["params"], self.algorithm.actor)
        critic_params = self._constrain(critic["params"], self.algorithm.critic)
        log_alpha = jnp.log(jnp.asarray(self.algorithm.temperature.initial))
        return LearnerState(
            actor=NetworkState(actor_params, actor.get("batch_stats", {}), self._actor_optimizer.init(actor_params)),
            critic=NetworkState(
                critic_params, critic.get("batch_stats", {}), self._critic_optimizer.init(critic_params)
            ),
            # A copy, because a donated buffer may appear only once in the state.
            target_critic=None if self.algorithm.target is None else jax.tree.map(jnp.copy, critic_params),
            log_alpha=log_alpha,
            temperature_opt_state=self._temperature_optimizer.init(log_alpha),
            key=key,
        )

    def act(self, state: LearnerState, observation: Array, key: jax.Array) -> jax.Array:
        """Draw an exploring action [A] in (-1, 1) for one observation [O]."""
        mean, log_std = self._actor_eval(state.actor, observation[None])
        return sample_with_log_prob(mean, log_std, key)[0][0]

    def act_deterministic(self, actor: NetworkState, observation: jax.Array) -> jax.Array:
        """Return tanh(mean) [B, A] for observations [B, O]."""
        return jnp.tanh(self._actor_eval(actor, observation)[0])

    # ---------------------------------------------------------------- update

    def update(
        self, state: LearnerState, batch: Batch, key: jax.Array, update_policy: jax.Array
    ) -> tuple[LearnerState, CriticMetrics, ActorMetrics]:
        """Do one gradient update.

        Args:
            state: of one seed.
            batch: [B, ...] transitions.
            key: for the policy's noise in this update.
            update_policy: [] bool, shared by all seeds: whether actor and temperature change too. Where it is false
                their computation does not happen, their parameters and statistics stay, and their metrics are NaN.

        Returns:
            The new state and what the update saw.
        """
        critic_key, actor_key = jax.random.split(key)
        state, critic_metrics = self._update_critic(state, batch, critic_key)
        if self.algorithm.policy_delay == 1:
            return self._update_policy(state, batch, actor_key, critic_metrics)
        skipped = ActorMetrics(*[jnp.full((), jnp.nan, state.log_alpha.dtype)] * len(ActorMetrics._fields))
        return jax.lax.cond(
            update_policy,
            lambda state: self._update_policy(state, batch, actor_key, critic_metrics),
            lambda state: (state, critic_metrics, skipped),
            state,
        )

    def _update_critic(self, state: LearnerState, batch: Batch, key: jax.Array) -> tuple[LearnerState, CriticMetrics]:
        # Next actions come from the actor in evaluation mode.
        next_action, next_log_prob = sample_with_log_prob(*self._actor_eval(state.actor, batch.next_observation), key)
        alpha = jnp.exp(state.log_alpha)
        stats = state.critic.batch_stats

        def loss_function(params: PyTree) -> tuple[jax.Array, tuple[PyTree, jax.Array, jax.Array]]:
            q, next_q, new_stats = self._critic_values(params, stats, batch, next_action)
            if state.target_critic is not None:
                # The target makes the same pass, in training mode, with parameters of its own.
                _, next_q, _ = self._critic_values(state.target_critic, stats, batch, next_action)
            # Without a target, only this output is constant: the gradient still reaches Q(s, a) through the batch
            # statistics that both halves share.
            target = jax.lax.stop_gradient(
                soft_target(batch.reward, batch.terminated, next_q, next_log_prob, alpha, self.discount)
            )
            return squared_error(q, target, self.algorithm.critic_loss_scale), (new_stats, q, target)

        (loss, (new_stats, q, target)), grads = jax.value_and_grad(loss_function, has_aux=True)(state.critic.params)
        critic = self._step(state.critic, grads, new_stats, self._critic_optimizer, self.algorithm.critic)
        target_critic = state.target_critic
        if self.algorithm.target is not None:
            # An average of projected weights, itself never projected.
            target_critic = optax.incremental_update(critic.params, target_critic, self.algorithm.target.tau)
        metrics = CriticMetrics(loss, jnp.mean(q), jnp.mean(target), optax.tree.norm(grads))
        return state._replace(critic=critic, target_critic=target_critic), metrics

    def _critic_values(
        self, params: PyTree, stats: PyTree, batch: Batch, next_action: jax.Array
    ) -> tuple[jax.Array, jax.Array, PyTree]:
        """Return Q(s, a) and Q(s', a'), both [C, B], and the running statistics that the pass leaves behind."""
        if self.algorithm.critic_pass == "joint":
            observation = jnp.concatenate([batch.observation, batch.next_observation])
            action = jnp.concatenate([batch.action, next_action])
            both, stats = self._critic_train(params, stats, observation, action)
            q, next_q = jnp.split(both, 2, axis=-1)
            return q, next_q, stats
        q, new_stats = self._critic_train(params, stats, batch.observation, batch.action)
        next_q, _ = self._critic_train(params, stats, batch.next_observation, next_action)
        return q, next_q, new_stats

    def _update_policy(
        self, state: LearnerState, batch: Batch, key: jax.Array, critic_metrics: CriticMetrics
    ) -> tuple[LearnerState, CriticMetrics, ActorMetrics]:
        alpha = jnp.exp(state.log_alpha)

        def loss_function(params: PyTree) -> tuple[jax.Array, tuple[PyTree, jax.Array]]:
            variables = {"params": params, "batch_stats": state.actor.batch_stats}
            (mean, log_std), updated = self.actor.apply(variables, batch.observation, True, mutable=["batch_stats"])
            action, log_prob = sample_with_log_prob(mean, log_std, key)
            # The critic has just been updated, and is in evaluation mode here.
            q = self.critic.apply(_variables(state.critic), batch.observation, action, False)
            loss = jnp.mean(alpha * log_prob - jnp.min(q, axis=0))
            return loss, (updated.get("batch_stats", {}), -jnp.mean(log_prob))

        (loss, (new_stats, entropy)), grads = jax.value_and_grad(loss_function, has_aux=True)(state.actor.params)
        actor = self._step(state.actor, grads, new_stats, self._actor_optimizer, self.algorithm.actor)
        gradient = jax.grad(temperature_loss)(state.log_alpha, entropy, self.target_entropy)
        change, opt_state = self._temperature_optimizer.update(gradient, state.temperature_opt_state, state.log_alpha)
        log_alpha = state.log_alpha + change
        metrics = ActorMetrics(loss, entropy, jnp.exp(log_alpha), optax.tree.norm(grads))
        state = state._replace(actor=actor, log_alpha=log_alpha, temperature_opt_state=opt_state)
        return state, critic_metrics, metrics

    # ---------------------------------------------------------------- shared steps

    def _actor_eval(self, actor: NetworkState, observation: Array) -> tuple[jax.Array, jax.Array]:
        return self.actor.apply(_variables(actor), observation, False)

    def _critic_train(
        self, params: PyTree, stats: PyTree, observation: jax.Array, action: jax.Array
    ) -> tuple[jax.Array, PyTree]:
        variables = {"params": params, "batch_stats": stats}
        q, updated = self.critic.apply(variables, observation, action, True, mutable=["batch_stats"])
        return q, updated.get("batch_stats", {})

    def _step(
        self,
        network: NetworkState,
        grads: PyTree,
        batch_stats: PyTree,
        optimizer: optax.GradientTransformation,
        config: networks.MLP,
    ) -> NetworkState:
        updates, opt_state = optimizer.update(grads, network.opt_state, network.params)
        params = self._constrain(optax.apply_updates(network.params, updates), config)
        return NetworkState(params, batch_stats, opt_state)

    def _constrain(self, params: PyTree, config: networks.MLP) -> PyTree:
        if self.algorithm.weight_constraint is None:
            return params
        return networks.project(params, config.hidden_layers)


def _variables(network: NetworkState) -> dict[str, PyTree]:
    return {"params": network.params, "batch_stats": network.batch_stats}
