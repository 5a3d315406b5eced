"""The learner: init, act and update for one seed. Read this file first.

Soft actor-critic with the parts of ``Algorithm``. Nothing here knows of seeds, environments or files; ``LearnerState``
(learner_state.py) is everything a checkpoint must hold. Order of one update (arXiv 2502.07523, section 3, and the
authors' code):

    critic -> target critic -> [every policy_delay-th update: actor -> temperature -> optimistic actor]

or the policy's part first, where the algorithm says so. Parts that are absent leave no trace in the compiled update.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from surefoot import networks
from surefoot.algorithms import statistics
from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.learner_state import ActorMetrics, CriticMetrics, LearnerState
from surefoot.algorithms.optimism import Optimist
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.temperature import temperature_loss
from surefoot.algorithms.trained_network import TrainedNetwork
from surefoot.machine import Precision
from surefoot.networks.matmul import matmul_precision
from surefoot.types import Array, Batch, EnvSpec, PyTree, Transition


class Learner:
    """An algorithm for an environment of given sizes: pure functions on a ``LearnerState``.

    Args:
        algorithm: the composition.
        spec: sizes of the environment.
        discount: gamma per agent step, the algorithm's own or else the task's.
        precision: of the layers' products in updates; acting is in float32 in any case.

    Attributes:
        actor: the policy network and how it is trained.
        critic: the ensemble of critics and how it is trained.
        target_entropy: in nats; absent for a policy without entropy.
    """

    def __init__(self, algorithm: Algorithm, spec: EnvSpec, discount: float, precision: Precision = "float32") -> None:
        self.algorithm = algorithm
        self.precision = precision
        self.spec = spec
        self.discount = discount
        often, seldom = algorithm.utd, algorithm.utd / algorithm.policy_delay
        self.actor = TrainedNetwork(
            algorithm.policy.module(algorithm.actor, spec.action_size),
            algorithm.actor,
            algorithm.policy.heads,
            algorithm.weight_constraint,
            algorithm.actor_optimizer,
            seldom,
        )
        self.critic = TrainedNetwork(
            networks.critic_ensemble(algorithm.critic, algorithm.num_critics, algorithm.critic_loss.num_outputs),
            algorithm.critic,
            (("head",),),
            algorithm.weight_constraint,
            algorithm.critic_optimizer,
            often,
        )
        if algorithm.temperature is not None:
            self.target_entropy = algorithm.temperature.target_entropy * spec.action_size
            self._temperature_optimizer = make_optimizer(algorithm.temperature.optimizer, seldom)
        self._optimist = None if algorithm.optimism is None else Optimist(algorithm.optimism, spec, seldom)

    # ---------------------------------------------------------------- init, act and observe

    def init(self, key: jax.Array) -> LearnerState:
        """Return a fresh state; ``key`` is the seed's root key."""
        algorithm = self.algorithm
        actor_key, critic_key, key = jax.random.split(key, 3)
        observation = jnp.zeros((1, self.spec.observation_size))
        action = jnp.zeros((1, self.spec.action_size))
        critic = self.critic.init(critic_key, observation, action)
        # Of a stated type: a weak one would turn into it in the first updates, and each time all would compile anew.
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
            optimist=None if self._optimist is None else self._optimist.init(jax.random.fold_in(actor_key, 1)),
            observations=None if algorithm.observation_norm is None else statistics.init_moments(observation.shape[1:]),
            returns=None if algorithm.reward_scaling is None else statistics.init_return_moments(),
        )

    def reset(self, state: LearnerState) -> LearnerState:
        """Return fresh networks, optimisers and temperature, from the seed's own key; what it has seen stays."""
        key, fresh_key = jax.random.split(state.key)
        return self.init(fresh_key)._replace(key=key, observations=state.observations, returns=state.returns)

    @matmul_precision("float32")
    def act(self, state: LearnerState, observation: Array, key: jax.Array) -> jax.Array:
        """Draw an exploring action [A] in [-1, 1] for one observation [O]."""
        seen = self.normalize(state, observation[None])
        outputs = self.actor.evaluate(state.actor, seen)
        if self._optimist is not None:
            assert state.optimist is not None
            mean, log_std = outputs
            return self._optimist.explore(state.optimist, seen, mean, log_std, key)[0]
        return self.algorithm.policy.explore(outputs, key)[0]

    @matmul_precision("float32")
    def act_deterministic(self, state: LearnerState, observation: jax.Array) -> jax.Array:
        """Return tanh(mean) [B, A] for observations [B, O]."""
        return self.algorithm.policy.mean(self.actor.evaluate(state.actor, self.normalize(state, observation)))

    def update_moments(self, state: LearnerState, observation: Array) -> LearnerState:
        """Take note of an observation [O] that will be acted on."""
        if state.observations is None:
            return state
        return state._replace(observations=statistics.update_moments(state.observations, observation))

    def update_return_moments(self, state: LearnerState, reward: Array, ended: Array) -> LearnerState:
        """Take note of a reward [], and of whether the episode ended with it [], as they enter the replay buffer."""
        if state.returns is None:
            return state
        return state._replace(returns=statistics.update_return_moments(state.returns, reward, ended, self.discount))

    def update_statistics(self, state: LearnerState, transition: Transition) -> LearnerState:
        """Take note of a transition as it enters the replay buffer."""
        return self.update_return_moments(
            self.update_moments(state, transition.observation), transition.reward, transition.ended
        )

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
        batch = self.preprocess(state, batch)
        with matmul_precision(self.precision):
            return self._update(state, batch, critic_key, actor_key, update_policy)

    def _update(
        self, state: LearnerState, batch: Batch, critic_key: jax.Array, actor_key: jax.Array, update_policy: jax.Array
    ) -> tuple[LearnerState, CriticMetrics, ActorMetrics]:
        if self.algorithm.update_order == "actor-first":
            state, actor_metrics = self._maybe_update_policy(state, batch, actor_key, update_policy)
            state, critic_metrics = self._update_critic(state, batch, critic_key)
        else:
            state, critic_metrics = self._update_critic(state, batch, critic_key)
            state, actor_metrics = self._maybe_update_policy(state, batch, actor_key, update_policy)
        return state, critic_metrics, actor_metrics

    def preprocess(self, state: LearnerState, batch: Batch) -> Batch:
        """Return the batch as the losses take it: observations normalised, rewards scaled, where that is wanted."""
        if self.algorithm.observation_norm is not None:
            batch = batch._replace(
                observation=self.normalize(state, batch.observation),
                next_observation=self.normalize(state, batch.next_observation),
            )
        if (scaling := self.algorithm.reward_scaling) is not None:
            assert state.returns is not None
            batch = batch._replace(reward=statistics.scale_reward(state.returns, batch.reward, scaling.epsilon))
        return batch

    def critic_loss(
        self, params: PyTree, state: LearnerState, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, jax.Array, jax.Array]]:
        """Return what the critics minimise, [], on a preprocessed batch.

        Args:
            params: of the critics.
            state: everything else.
            batch: [B, ...], from ``preprocess``.
            key: for the next actions.

        Returns:
            The loss; the running statistics that the pass leaves, the outputs [C, B, K] and their target [B, K].
        """
        part, stats = self.algorithm.critic_loss, state.critic.batch_stats
        # Next actions come from the actor in evaluation mode.
        actor_outputs = self.actor.evaluate(state.actor, batch.next_observation)
        next_action, next_log_prob = self.algorithm.policy.next_action(actor_outputs, key)
        outputs, next_outputs, new_stats = self._critic_outputs(params, stats, batch, next_action, key)
        target_key = jax.random.fold_in(key, 2)
        if state.target_critic is not None:
            # The target makes the same pass, in training mode, with parameters of its own.
            _, next_outputs, _ = self._critic_outputs(state.target_critic, stats, batch, next_action, target_key)
        # Without a target, only this output is constant: the gradient still reaches Q(s, a) through the batch
        # statistics that both halves share.
        target = jax.lax.stop_gradient(self._target(state, batch, next_outputs, next_log_prob, target_key))
        return part.loss(outputs, target) + self.critic.penalty(params), (new_stats, outputs, target)

    def _update_critic(self, state: LearnerState, batch: Batch, key: jax.Array) -> tuple[LearnerState, CriticMetrics]:
        (loss, (new_stats, outputs, target)), grads = jax.value_and_grad(self.critic_loss, has_aux=True)(
            state.critic.params, state, batch, key
        )
        critic = self.critic.step(state.critic, grads, new_stats)
        target_critic = state.target_critic
        if self.algorithm.target is not None:
            # An average of projected weights, itself never projected.
            target_critic = optax.incremental_update(critic.params, target_critic, self.algorithm.target.tau)
        part = self.algorithm.critic_loss
        q, target_value = part.value(outputs), part.target_value(target)
        metrics = CriticMetrics(loss, jnp.mean(q), jnp.mean(target_value), optax.tree.norm(grads))
        return state._replace(critic=critic, target_critic=target_critic), metrics

    def _target(
        self, state: LearnerState, batch: Batch, next_outputs: jax.Array, next_log_prob: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return what the critics regress on, [B, K]: r + gamma (1 - terminated) (Q(s', a') - alpha log pi(a' | s')).

        Termination alone stops the bootstrap; an episode that a time limit cut goes on in the eyes of the value.
        """
        loss_part = self.algorithm.critic_loss
        next_value = self.algorithm.target_reduction(
            loss_part.describe(next_outputs), loss_part.value(next_outputs), key
        )
        discount = self.discount * (1.0 - batch.terminated)
        return loss_part.target(batch.reward, discount, next_value, -temperature(state) * next_log_prob)

    def _critic_outputs(
        self, params: PyTree, stats: PyTree, batch: Batch, next_action: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, PyTree]:
        """Return the outputs at (s, a) and (s', a'), both [C, B, K], and the statistics that the pass leaves behind."""
        if self.algorithm.critic_pass == "joint":
            observation = jnp.concatenate([batch.observation, batch.next_observation])
            action = jnp.concatenate([batch.action, next_action])
            both, stats = self.critic.train(params, stats, observation, action, key=key)
            outputs, next_outputs = jnp.split(both, 2, axis=1)
            return outputs, next_outputs, stats
        outputs, new_stats = self.critic.train(params, stats, batch.observation, batch.action, key=key)
        next_key = jax.random.fold_in(key, 3)
        next_outputs, _ = self.critic.train(params, stats, batch.next_observation, next_action, key=next_key)
        return outputs, next_outputs, new_stats

    def _maybe_update_policy(
        self, state: LearnerState, batch: Batch, key: jax.Array, update_policy: jax.Array
    ) -> tuple[LearnerState, ActorMetrics]:
        if self.algorithm.policy_delay == 1:
            return self._update_policy(state, batch, key)
        dtype = batch.reward.dtype
        skipped = ActorMetrics(*[jnp.full((), jnp.nan, dtype)] * len(ActorMetrics._fields))
        return jax.lax.cond(
            update_policy,
            lambda state: self._update_policy(state, batch, key),
            lambda state: (state, skipped),
            state,
        )

    def actor_loss(
        self, params: PyTree, state: LearnerState, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, tuple[PyTree, jax.Array]]:
        """Return what the policy minimises, [], on a preprocessed batch.

        Args:
            params: of the actor.
            state: everything else.
            batch: [B, ...], from ``preprocess``.
            key: for the actions.

        Returns:
            The loss; the running statistics that the pass leaves, and the entropy [].
        """
        part, algorithm = self.algorithm.critic_loss, self.algorithm
        outputs, new_stats = self.actor.train(
            params, state.actor.batch_stats, batch.observation, key=jax.random.fold_in(key, 1)
        )
        action, log_prob = algorithm.policy.policy_action(outputs, key)
        # The critic is in evaluation mode here; dropout, where there is any, stays on (DroQ).
        critic_key = jax.random.fold_in(key, 2)
        q = part.value(self.critic.evaluate(state.critic, batch.observation, action, key=critic_key))
        value = algorithm.policy_reduction(q[..., None], q, jax.random.fold_in(key, 3))[:, 0]
        loss = jnp.mean(temperature(state) * log_prob - value) + self.actor.penalty(params)
        return loss, (new_stats, -jnp.mean(log_prob))

    def _update_policy(self, state: LearnerState, batch: Batch, key: jax.Array) -> tuple[LearnerState, ActorMetrics]:
        (loss, (new_stats, entropy)), grads = jax.value_and_grad(self.actor_loss, has_aux=True)(
            state.actor.params, state, batch, key
        )
        state = state._replace(actor=self.actor.step(state.actor, grads, new_stats))
        state = self._update_temperature(state, entropy)
        metrics = ActorMetrics(loss, entropy, jnp.asarray(temperature(state), loss.dtype), optax.tree.norm(grads))
        return self._update_optimist(state, batch, jax.random.fold_in(key, 4)), metrics

    def _update_temperature(self, state: LearnerState, entropy: jax.Array) -> LearnerState:
        if state.log_alpha is None:
            return state
        gradient = jax.grad(temperature_loss)(state.log_alpha, entropy, self.target_entropy)
        change, opt_state = self._temperature_optimizer.update(gradient, state.temperature_opt_state, state.log_alpha)
        return state._replace(log_alpha=state.log_alpha + change, temperature_opt_state=opt_state)

    def _update_optimist(self, state: LearnerState, batch: Batch, key: jax.Array) -> LearnerState:
        if self._optimist is None:
            return state
        assert state.optimist is not None
        loss_part = self.algorithm.critic_loss

        def upper_bound(action: jax.Array, optimism: jax.Array) -> jax.Array:
            outputs = self.critic.evaluate(state.critic, batch.observation, action, key=jax.random.fold_in(key, 1))
            return jnp.mean(loss_part.value(outputs), axis=0) + optimism * loss_part.disagreement(outputs)

        mean, log_std = self.actor.evaluate(state.actor, batch.observation)
        optimist = self._optimist.update(state.optimist, batch.observation, mean, log_std, upper_bound, key)
        return state._replace(optimist=optimist)

    # ---------------------------------------------------------------- shared steps

    def normalize(self, state: LearnerState, observation: Array) -> jax.Array:
        """Return observations [B, O] as the networks see them."""
        if (norm := self.algorithm.observation_norm) is None:
            return jnp.asarray(observation)
        assert state.observations is not None
        return statistics.normalize(state.observations, observation, norm.epsilon)


def temperature(state: LearnerState) -> jax.Array | float:
    """Return alpha, []; zero for a policy without entropy."""
    return 0.0 if state.log_alpha is None else jnp.exp(state.log_alpha)
