"""The learner of one seed: ``init``, ``act`` and ``update`` as pure functions.

Soft actor-critic, composed of the parts of ``Algorithm``. The order of one update (arXiv 2502.07523, section 3, and the
authors' code) is

    critic -> target critic -> [every policy_delay-th update: actor -> temperature -> optimistic actor]

with the policy first, and from the first update on, where ``update_order`` is "actor-first". An absent part adds
nothing to the compiled update.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from surefoot import networks
from surefoot.algorithms import held_noise
from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.learner_state import ActorMetrics, CriticMetrics, LearnerState
from surefoot.algorithms.optimism import Optimist
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.policies import TanhGaussian
from surefoot.algorithms.running_statistics import RunningStatistics
from surefoot.algorithms.trained_network import TrainedNetwork
from surefoot.machine import Precision
from surefoot.networks.matmul import matmul_precision
from surefoot.types import Array, Batch, EnvSpec, PyTree


class Learner:
    """An algorithm for one environment's sizes, as pure functions on a ``LearnerState``.

    Args:
        algorithm: Composition to train.
        spec: Sizes of the environment.
        discount: gamma per agent step.
        precision: Precision of matrix products in updates; acting always uses float32.

    Attributes:
        actor: Policy network and its training.
        critic: Ensemble of critics and its training.
        optimist: Second, optimistic policy; None where the algorithm has none.
        statistics: Running statistics, and batches normalised and scaled by them.
        target_entropy: Target of the policy's entropy in nats; absent for a policy without entropy.
    """

    def __init__(self, algorithm: Algorithm, spec: EnvSpec, discount: float, precision: Precision = "float32") -> None:
        self.algorithm = algorithm
        self.precision = precision
        self.spec = spec
        self.discount = discount
        critic_rate = float(algorithm.utd)  # updates per agent step
        policy_rate = critic_rate / algorithm.policy_delay
        self.actor = TrainedNetwork(
            algorithm.policy.module(algorithm.actor, spec.action_size),
            algorithm.actor,
            algorithm.policy.heads,
            algorithm.weight_constraint,
            algorithm.actor_optimizer,
            policy_rate,
            spec.actor_columns,
        )
        self.critic = TrainedNetwork(
            networks.critic_ensemble(algorithm.critic, algorithm.num_critics, algorithm.critic_loss.num_outputs),
            algorithm.critic,
            (("head",),),
            algorithm.weight_constraint,
            algorithm.critic_optimizer,
            critic_rate,
            spec.critic_columns,
        )
        if algorithm.temperature is not None:
            self.target_entropy = algorithm.temperature.target_entropy * spec.action_size
            self._temperature_optimizer = make_optimizer(algorithm.temperature.optimizer, policy_rate)
        self.statistics = RunningStatistics(algorithm, spec, discount)
        self.optimist = None if algorithm.optimism is None else Optimist(algorithm.optimism, spec, policy_rate)

    # ---------------------------------------------------------------- init and act

    def init(self, key: jax.Array) -> LearnerState:
        """Return the initial state; ``key`` is the seed's root key."""
        algorithm = self.algorithm
        actor_key, critic_key, optimist_key, key = jax.random.split(key, 4)
        observation = jnp.zeros((1, self.spec.observation_size))
        action = jnp.zeros((1, self.spec.action_size))
        critic = self.critic.init(critic_key, observation, action)
        # With an explicit dtype: a weakly typed value would change type in the first update and cause a recompilation.
        log_alpha = (
            None if algorithm.temperature is None else jnp.log(jnp.asarray(algorithm.temperature.initial, float))
        )
        return LearnerState(
            actor=self.actor.init(actor_key, observation),
            critic=critic,
            # A copy, because a donated buffer may appear only once in the state.
            target_critic=None if algorithm.target is None else jax.tree.map(jnp.copy, critic.params),
            log_alpha=log_alpha,
            temperature_opt_state=None if log_alpha is None else self._temperature_optimizer.init(log_alpha),
            key=key,
            optimist=None if self.optimist is None else self.optimist.init(optimist_key),
            observations=self.statistics.init_observations(),
            returns=self.statistics.init_returns(),
            held_noise=None if algorithm.held_noise is None else held_noise.init_held_noise(self.spec.action_size),
        )

    def reset(self, state: LearnerState) -> LearnerState:
        """Return new networks, optimisers and temperature, from the seed's own key; running statistics stay."""
        key, init_key = jax.random.split(state.key)
        return self.init(init_key)._replace(key=key, observations=state.observations, returns=state.returns)

    def advance_noise(self, state: LearnerState, key: jax.Array) -> LearnerState:
        """Return the state at the next exploring decision: only ``held_noise`` changes, if there is one."""
        if self.algorithm.held_noise is None:
            return state
        assert state.held_noise is not None
        return state._replace(held_noise=held_noise.advance(self.algorithm.held_noise, state.held_noise, key))

    @matmul_precision("float32")
    def act(self, state: LearnerState, observation: Array, key: jax.Array) -> jax.Array:
        """Draw an exploring action [A] in [-1, 1] for one observation [O], with the held noise if there is one."""
        normalized = self.statistics.normalize(state, observation[None])
        outputs = self.actor.evaluate(state.actor, normalized)
        if self.optimist is not None:
            assert state.optimist is not None
            mean, log_std = outputs
            return self.optimist.explore(state.optimist, *self.actor.view(normalized), mean, log_std, key)[0]
        if state.held_noise is not None:
            assert isinstance(self.algorithm.policy, TanhGaussian)
            return self.algorithm.policy.explore_with(outputs, state.held_noise.noise[None])[0]
        return self.algorithm.policy.explore(outputs, key)[0]

    @matmul_precision("float32")
    def act_deterministic(self, state: LearnerState, observation: jax.Array) -> jax.Array:
        """Return tanh(mean) [B, A] for observations [B, O]."""
        normalized = self.statistics.normalize(state, observation)
        return self.algorithm.policy.mean(self.actor.evaluate(state.actor, normalized))

    # ---------------------------------------------------------------- update

    def is_policy_due(self, grad_steps: Array) -> jax.Array:
        """Return whether the policy moves in the update after ``grad_steps`` [] updates, [] bool.

        Of every ``policy_delay`` updates it moves in the last, or in the first where ``update_order`` is "actor-first".
        """
        delay = self.algorithm.policy_delay
        return jnp.asarray(grad_steps % delay == (0 if self.algorithm.update_order == "actor-first" else delay - 1))

    def update(
        self, state: LearnerState, batch: Batch, key: jax.Array, policy_due: jax.Array
    ) -> tuple[LearnerState, CriticMetrics, ActorMetrics]:
        """Do one gradient update.

        Args:
            state: State of one seed.
            batch: [B, ...] transitions.
            key: Random key of this update.
            policy_due: [] bool, shared by all seeds: whether actor and temperature are updated as well; without effect
                where ``Algorithm.policy_delay`` is 1. Where it is false their update is not computed and their metrics
                are NaN; their state stays, but for the actor's running statistics where ``Algorithm.actor_statistics``
                is "all-updates".

        Returns:
            The new state and the metrics of the update.
        """
        critic_key, actor_key, optimist_key = jax.random.split(key, 3)
        batch = self.statistics.preprocess(state, batch)
        critic_first = self.algorithm.update_order == "critic-first"
        with matmul_precision(self.precision):
            if critic_first:
                state, critic_metrics = self.update_critic(state, batch, critic_key)
            if self.algorithm.policy_delay == 1:
                state, actor_metrics = self.update_policy(state, batch, actor_key, optimist_key)
            else:
                skipped = ActorMetrics(*[jnp.full((), jnp.nan, batch.reward.dtype)] * len(ActorMetrics._fields))
                state, actor_metrics = jax.lax.cond(
                    policy_due,
                    lambda state: self.update_policy(state, batch, actor_key, optimist_key),
                    lambda state: (self._skip_policy(state, batch, actor_key), skipped),
                    state,
                )
            if not critic_first:
                state, critic_metrics = self.update_critic(state, batch, critic_key)
        return state, critic_metrics, actor_metrics

    def update_critic(self, state: LearnerState, batch: Batch, key: jax.Array) -> tuple[LearnerState, CriticMetrics]:
        """Update the critics, then their target, on a preprocessed batch."""
        (loss, (batch_stats, q_mean, target_mean)), grads = jax.value_and_grad(self.critic_loss, has_aux=True)(
            state.critic.params, state, batch, key
        )
        critic = self.critic.step(state.critic, grads, batch_stats)
        target_critic = state.target_critic
        if self.algorithm.target is not None:
            # An average of projected weights that is itself never projected.
            target_critic = optax.incremental_update(critic.params, target_critic, self.algorithm.target.tau)
        metrics = CriticMetrics(loss, q_mean, target_mean, optax.tree.norm(grads))
        return state._replace(critic=critic, target_critic=target_critic), metrics

    def critic_loss(
        self, params: PyTree, state: LearnerState, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, jax.Array, jax.Array]]:
        """Return the critics' loss, [], on a preprocessed batch.

        Args:
            params: Parameters of the critics.
            state: Everything else.
            batch: [B, ...], from ``statistics.preprocess``.
            key: Random key of the loss.

        Returns:
            The loss, and (new running statistics, mean Q, mean target).
        """
        next_action_key, dropout_key, target_dropout_key, reduction_key = jax.random.split(key, 4)
        critic_loss, gamma, alpha = self.algorithm.critic_loss, self.discount, state.alpha
        r, d = batch.reward[:, None], batch.terminated[:, None]  # a time limit truncates and leaves d at 0

        # a' ~ pi(. | s'), with the actor in evaluation mode.
        actor_outputs = self.actor.evaluate(state.actor, batch.next_observation)
        next_action, log_pi_next = self.algorithm.policy.next_action(actor_outputs, next_action_key)
        log_pi_next = log_pi_next[:, None]

        # Q(s, a) and Q(s', a'), both [C, B, K]. A target critic is applied in training mode as well.
        outputs, next_outputs, batch_stats = self._critic_pass(params, state, batch, next_action, dropout_key)
        if state.target_critic is not None:
            _, next_outputs, _ = self._critic_pass(state.target_critic, state, batch, next_action, target_dropout_key)

        # The Bellman target moves each of K values (one number, quantiles, or atoms with probabilities) alike.
        weights = self.algorithm.target_reduction(critic_loss.value(next_outputs), reduction_key)
        q_next, probabilities = critic_loss.mixture(next_outputs, weights)
        y = r + gamma * (1.0 - d) * (q_next - alpha * log_pi_next)

        # Without a target critic only y is constant: the gradient still reaches Q(s, a) through the batch statistics
        # that it shares with Q(s', a') in a joint pass.
        target = jax.lax.stop_gradient(critic_loss.target(y, probabilities))
        total = critic_loss.loss(outputs, target) + self.critic.penalty(params)
        return total, (batch_stats, jnp.mean(critic_loss.value(outputs)), jnp.mean(critic_loss.target_value(target)))

    def _critic_pass(
        self, params: PyTree, state: LearnerState, batch: Batch, next_action: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, PyTree]:
        """Return the outputs at (s, a) and (s', a'), both [C, B, K], and the new running statistics."""
        batch_stats = state.critic.batch_stats
        if self.algorithm.critic_pass == "joint":
            observation = jnp.concatenate([batch.observation, batch.next_observation])
            action = jnp.concatenate([batch.action, next_action])
            both, batch_stats = self.critic.train(params, batch_stats, observation, action, key=key)
            outputs, next_outputs = jnp.split(both, 2, axis=1)
            return outputs, next_outputs, batch_stats
        key, next_key = jax.random.split(key)
        outputs, new_stats = self.critic.train(params, batch_stats, batch.observation, batch.action, key=key)
        next_outputs, _ = self.critic.train(params, batch_stats, batch.next_observation, next_action, key=next_key)
        return outputs, next_outputs, new_stats

    def update_policy(
        self, state: LearnerState, batch: Batch, actor_key: jax.Array, optimist_key: jax.Array
    ) -> tuple[LearnerState, ActorMetrics]:
        """Update actor, temperature and optimistic actor, on a preprocessed batch."""
        (loss, (batch_stats, entropy)), grads = jax.value_and_grad(self.actor_loss, has_aux=True)(
            state.actor.params, state, batch, actor_key
        )
        state = state._replace(actor=self.actor.step(state.actor, grads, batch_stats))
        if state.log_alpha is not None:
            # The derivative of alpha (H - target H) or log alpha (H - target H) by log alpha.
            assert self.algorithm.temperature is not None
            gradient = entropy - self.target_entropy
            if self.algorithm.temperature.loss == "alpha":
                gradient = state.alpha * gradient
            change, opt_state = self._temperature_optimizer.update(
                gradient, state.temperature_opt_state, state.log_alpha
            )
            state = state._replace(log_alpha=state.log_alpha + change, temperature_opt_state=opt_state)
        if self.optimist is not None:
            state = self._update_optimist(state, batch, optimist_key)
        metrics = ActorMetrics(loss, entropy, jnp.asarray(state.alpha, loss.dtype), optax.tree.norm(grads))
        return state, metrics

    def _skip_policy(self, state: LearnerState, batch: Batch, key: jax.Array) -> LearnerState:
        """Return the state after an update without the policy, where only the actor's running statistics may change."""
        if self.algorithm.actor_statistics == "policy-updates":
            return state
        _, batch_stats = self._actor_pass(state.actor.params, state, batch, key)
        return state._replace(actor=state.actor._replace(batch_stats=batch_stats))

    def actor_loss(
        self, params: PyTree, state: LearnerState, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, jax.Array]]:
        """Return the policy's loss, [], on a preprocessed batch.

        Args:
            params: Parameters of the actor.
            state: Everything else.
            batch: [B, ...], from ``statistics.preprocess``.
            key: Random key of the loss.

        Returns:
            The loss, and (new running statistics, entropy in nats).
        """
        action_key, actor_dropout_key, critic_dropout_key, reduction_key = jax.random.split(key, 4)
        outputs, batch_stats = self._actor_pass(params, state, batch, actor_dropout_key)
        action, log_pi = self.algorithm.policy.policy_action(outputs, action_key)
        # The critic is in evaluation mode, except that dropout stays on (DroQ).
        critic_outputs = self.critic.evaluate(state.critic, batch.observation, action, key=critic_dropout_key)
        q = self.algorithm.critic_loss.value(critic_outputs)  # [C, B]
        q = jnp.sum(self.algorithm.policy_reduction(q, reduction_key) * q, axis=0)
        loss = jnp.mean(state.alpha * log_pi - q) + self.actor.penalty(params)
        return loss, (batch_stats, -jnp.mean(log_pi))

    def _actor_pass(self, params: PyTree, state: LearnerState, batch: Batch, key: jax.Array) -> tuple[PyTree, PyTree]:
        """Return the actor's outputs at s in training mode, and the new running statistics."""
        if self.algorithm.actor_pass == "separate":
            return self.actor.train(params, state.actor.batch_stats, batch.observation, key=key)
        both = jnp.concatenate([batch.observation, batch.next_observation])
        outputs, batch_stats = self.actor.train(params, state.actor.batch_stats, both, key=key)
        return jax.tree.map(lambda output: output[: len(batch.observation)], outputs), batch_stats

    def _update_optimist(self, state: LearnerState, batch: Batch, key: jax.Array) -> LearnerState:
        assert self.optimist is not None
        assert state.optimist is not None
        action_key, dropout_key = jax.random.split(key)
        loss = self.algorithm.critic_loss

        def upper_bound(action: jax.Array, optimism: jax.Array) -> jax.Array:
            outputs = self.critic.evaluate(state.critic, batch.observation, action, key=dropout_key)
            return jnp.mean(loss.value(outputs), axis=0) + optimism * loss.disagreement(outputs)

        mean, log_std = self.actor.evaluate(state.actor, batch.observation)
        (seen,) = self.actor.view(batch.observation)
        optimist = self.optimist.update(state.optimist, seen, mean, log_std, upper_bound, action_key)
        return state._replace(optimist=optimist)
