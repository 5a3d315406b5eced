"""Many seeds side by side: the only vmap over seeds, and the one jitted call per agent step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import networks, replay
from surefoot.algorithms import ActorMetrics, CriticMetrics, Learner, LearnerState
from surefoot.algorithms.trained_network import TrainedNetwork
from surefoot.replay import ReplayState
from surefoot.types import Array, Batch, PyTree, Transition

_LOOKING = 0x100C
"""Folded into a seed's key where something is drawn that training must not notice."""


class MetricSums(NamedTuple):
    """Running sums since the last row of the training log; they stay on the device until that row is written."""

    critic: CriticMetrics
    actor: ActorMetrics
    critic_updates: jax.Array
    """[] int32, updates in the critic's sums."""
    actor_updates: jax.Array
    """[] int32, updates in the actor's sums."""


class PopulationState(NamedTuple):
    """Everything on the device; every leaf has a leading axis S."""

    learner: LearnerState
    replay: ReplayState
    metrics: MetricSums


class WeightNorms(NamedTuple):
    """Sum over dense layers of their L2 norms, heads included."""

    critic: jax.Array
    """Mean over the critics."""
    actor: jax.Array


class Population:
    """S seeds of one learner.

    Args:
        learner: written for one seed.
        seeds: the training seeds; each one's random numbers follow from its own seed alone, so a seed draws the same
            ones in any company.
        capacity: replay transitions per seed.
        frames: replay frames per seed.
    """

    def __init__(self, learner: Learner, seeds: Sequence[int], capacity: int, frames: int) -> None:
        self.learner = learner
        self.seeds = tuple(seeds)
        self.capacity = capacity
        self.frames = frames
        self._store = jax.jit(self._store_all, donate_argnums=0)
        self._store_and_act = jax.jit(self._store_and_act_all, donate_argnums=0)
        self._train = jax.jit(self._train_all, donate_argnums=0)
        self._learn = jax.jit(self._learn_all, donate_argnums=(0, 1))
        self._deterministic = jax.jit(self.over_seeds(learner.act_deterministic))
        self._restart = jax.jit(self.over_seeds(learner.reset), donate_argnums=0)
        self._draw = jax.jit(self._draw_all)
        self._norms = jax.jit(self.over_seeds(self._norms_one))
        self._reset_metrics = jax.jit(self.over_seeds(lambda sums: jax.tree.map(jnp.zeros_like, sums)))

    # ---------------------------------------------------------------- for the training loop

    def init(self, observation: np.ndarray) -> tuple[PopulationState, jax.Array]:
        """Return the state before the first step, and first actions [S, A], for first observations [S, O]."""
        return jax.jit(self.over_seeds(self._init_one))(self._root_keys(), jnp.asarray(observation))

    def act_first(self, state: PopulationState, observation: np.ndarray) -> tuple[PopulationState, jax.Array]:
        """Return first actions [S, A] of the policy, in place of ``init``'s uniform ones."""
        learner, action = jax.jit(self.over_seeds(self._policy_action))(state.learner, observation)
        return state._replace(learner=learner), action

    def explore(
        self, state: PopulationState, transition: Transition, uniform: bool
    ) -> tuple[PopulationState, jax.Array]:
        """Store a transition [S, ...] without learning from it; return the next actions [S, A].

        Args:
            state: donated.
            transition: what the last actions led to.
            uniform: draw the next actions uniformly (the warm-up), otherwise from the policy.
        """
        return (self._store if uniform else self._store_and_act)(state, transition)

    def train(
        self, state: PopulationState, transition: Transition, grad_steps: int
    ) -> tuple[PopulationState, jax.Array]:
        """Store a transition [S, ...], do U gradient updates, return the new policy's next actions [S, A].

        Args:
            state: donated.
            transition: what the last actions led to.
            grad_steps: updates done before this call, shared by all seeds.
        """
        return self._train(state, transition, np.int32(grad_steps))

    def learn(self, state: PopulationState, grad_steps: int) -> PopulationState:
        """Begin U gradient updates on what is stored, and return before they are done.

        Args:
            state: donated, but for its buffers.
            grad_steps: updates done before this call, shared by all seeds.
        """
        learner, metrics = self._learn(state.learner, state.metrics, state.replay, np.int32(grad_steps))
        return PopulationState(learner, state.replay, metrics)

    def restart(self, state: PopulationState) -> PopulationState:
        """Give every seed fresh networks, optimisers and temperature; the buffers stay. ``state`` is donated."""
        return state._replace(learner=self._restart(state.learner))

    def begin_episodes(self, state: PopulationState, observation: np.ndarray, begin: np.ndarray) -> PopulationState:
        """Tell the buffers of the seeds in ``begin`` [S] that their unfinished episode gave way to ``observation``."""
        return state._replace(replay=jax.jit(jax.vmap(replay.begin_episode))(state.replay, observation, begin))

    def draw(self, state: PopulationState) -> tuple[Batch, jax.Array]:
        """Return a batch [S, B, ...] from every seed's buffer to look at, and keys [S] for doing so.

        What training will draw stays as it is. ``state`` is not donated; its buffers must not be empty.
        """
        return self._draw(state)

    def act_deterministic(self, learner: LearnerState, observation: np.ndarray) -> np.ndarray:
        """Return deterministic actions [S, E, A] for observations [S, E, O]."""
        return np.asarray(self._deterministic(learner, observation))

    def take_metrics(self, state: PopulationState) -> tuple[PopulationState, MetricSums, WeightNorms]:
        """Return the state with its sums set to zero, the sums and the weight norms, all [S] and on the host."""
        sums = jax.tree.map(np.array, state.metrics)
        norms = jax.tree.map(np.asarray, self._norms(state.learner))
        return state._replace(metrics=self._reset_metrics(state.metrics)), sums, norms

    # ---------------------------------------------------------------- for all seeds

    def _store_all(self, state: PopulationState, transition: Transition) -> tuple[PopulationState, jax.Array]:
        stored = jax.vmap(replay.add)(state.replay, transition)
        learner, action = self.over_seeds(self._uniform_action)(self._collect(state.learner, transition))
        return PopulationState(learner, stored, state.metrics), action

    def _store_and_act_all(self, state: PopulationState, transition: Transition) -> tuple[PopulationState, jax.Array]:
        stored = jax.vmap(replay.add)(state.replay, transition)
        collected = self._collect(state.learner, transition)
        learner, action = self.over_seeds(self._policy_action)(collected, transition.observation)
        return PopulationState(learner, stored, state.metrics), action

    def _collect(self, learner: LearnerState, transition: Transition) -> LearnerState:
        return self.over_seeds(self.learner.update_statistics)(learner, transition)

    def _train_all(
        self, state: PopulationState, transition: Transition, grad_steps: jax.Array
    ) -> tuple[PopulationState, jax.Array]:
        # The buffers are mapped over and never stripped, whatever the number of seeds: XLA would copy a stripped ring
        # as a whole in every call.
        stored = jax.vmap(replay.add)(state.replay, transition)
        start = self._strip((self._collect(state.learner, transition), state.metrics))
        learner, sums = self._updates(start, stored, grad_steps, self.learner.algorithm.utd)
        learner, action = self._each(self._policy_action)(learner, self._strip(transition.observation))
        learner, sums, action = self._clothe((learner, sums, action))
        return PopulationState(learner, stored, sums), action

    def _learn_all(
        self, learner: LearnerState, metrics: MetricSums, stored: ReplayState, grad_steps: jax.Array
    ) -> tuple[LearnerState, MetricSums]:
        start = self._strip((learner, metrics))
        learner, sums = self._clothe(self._updates(start, stored, grad_steps, self.learner.algorithm.utd))
        return learner, sums

    def _updates(
        self, start: tuple[LearnerState, MetricSums], stored: ReplayState, grad_steps: jax.Array, count: int
    ) -> tuple[LearnerState, MetricSums]:
        """Do ``count`` gradient updates of learners and sums without their axis S where there is one seed."""
        algorithm = self.learner.algorithm
        draw = jax.vmap(lambda buffer, key: replay.sample(buffer, key, algorithm.batch_size))

        def update(
            carry: tuple[LearnerState, MetricSums], i: jax.Array
        ) -> tuple[tuple[LearnerState, MetricSums], None]:
            learner, sums = carry
            keys = self._each(lambda key: jax.random.split(key, 3))(learner.key)
            key, sample_key, update_key = keys[..., 0], keys[..., 1], keys[..., 2]
            batch = self._strip(draw(stored, self._clothe(sample_key)))
            # The count is shared by all seeds, so the predicate has no seed axis and the branch stays a branch.
            update_policy = (grad_steps + i + 1) % algorithm.policy_delay == 0
            step = self._each(self.learner.update, shared=1)
            learner, critic, actor = step(learner._replace(key=key), batch, update_key, update_policy)
            sums = self._each(_accumulate, shared=1)(sums, critic, actor, update_policy)
            return (learner, sums), None

        return jax.lax.scan(update, start, jnp.arange(count))[0]

    def _draw_all(self, state: PopulationState) -> tuple[Batch, jax.Array]:
        # Folded in, because the key that training goes on with must not be split here.
        keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, _LOOKING)))(state.learner.key)
        # Mapped over and never stripped, like the updates' own draws.
        draw = jax.vmap(lambda buffer, key: replay.sample(buffer, key, self.learner.algorithm.batch_size))
        return draw(state.replay, keys[:, 0]), keys[:, 1]

    def over_seeds(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Turn a function of one seed into one of arguments and results with a leading axis S."""
        return lambda *arguments: self._clothe(self._each(function)(*self._strip(arguments)))

    def _each(self, function: Callable[..., Any], shared: int = 0) -> Callable[..., Any]:
        """Map over the leading axis of all arguments but the last ``shared`` ones.

        A single seed is not mapped: XLA's batched matrix products on CPU cost about a tenth more than plain ones, even
        for a batch of one. Its arguments come from ``_strip`` and its results go to ``_clothe``.
        """
        if len(self.seeds) == 1:
            return function

        def mapped(*arguments: Any) -> Any:
            axes = (0,) * (len(arguments) - shared) + (None,) * shared
            return jax.vmap(function, in_axes=axes)(*arguments)

        return mapped

    def _strip(self, tree: Any) -> Any:
        """Take the axis S off where there is one seed."""
        return jax.tree.map(lambda x: x[0], tree) if len(self.seeds) == 1 else tree

    def _clothe(self, tree: Any) -> Any:
        """Put the axis S back where there is one seed."""
        return jax.tree.map(lambda x: jnp.asarray(x)[None], tree) if len(self.seeds) == 1 else tree

    # ---------------------------------------------------------------- for one seed

    def _root_keys(self) -> jax.Array:
        return jnp.stack([jax.random.key(seed) for seed in self.seeds])

    def _init_one(self, key: jax.Array, observation: jax.Array) -> tuple[PopulationState, jax.Array]:
        state = self._fresh_one(key, observation)
        learner, action = self._uniform_action(self.learner.update_moments(state.learner, observation))
        return state._replace(learner=learner), action

    def _fresh_one(self, key: jax.Array, observation: jax.Array) -> PopulationState:
        buffer = replay.init(self.learner.spec, self.capacity, self.frames, observation)
        return PopulationState(self.learner.init(key), buffer, no_sums())

    def _uniform_action(self, learner: LearnerState) -> tuple[LearnerState, jax.Array]:
        key, action_key = jax.random.split(learner.key)
        action = jax.random.uniform(action_key, (self.learner.spec.action_size,), minval=-1.0, maxval=1.0)
        return learner._replace(key=key), action

    def _policy_action(self, learner: LearnerState, observation: Array) -> tuple[LearnerState, jax.Array]:
        key, action_key = jax.random.split(learner.key)
        action = self.learner.act(learner, observation, action_key)
        return learner._replace(key=key), action

    def _norms_one(self, learner: LearnerState) -> WeightNorms:
        def norm(network: TrainedNetwork, params: PyTree) -> jax.Array:
            return networks.dense_norm(params, (*network.hidden_layers, *network.heads))

        critic = norm(self.learner.critic, learner.critic.params)
        actor = norm(self.learner.actor, learner.actor.params)
        return WeightNorms(jnp.mean(critic), actor)


def no_sums() -> MetricSums:
    """Return sums over no update, of one seed."""
    zero = jnp.zeros(())
    return MetricSums(
        CriticMetrics(*[zero] * len(CriticMetrics._fields)),
        ActorMetrics(*[zero] * len(ActorMetrics._fields)),
        jnp.int32(0),
        jnp.int32(0),
    )


def _accumulate(sums: MetricSums, critic: CriticMetrics, actor: ActorMetrics, update_policy: jax.Array) -> MetricSums:
    return MetricSums(
        critic=jax.tree.map(jnp.add, sums.critic, critic),
        # The actor's metrics are NaN where it was not updated.
        actor=jax.tree.map(lambda total, value: total + jnp.where(update_policy, value, 0.0), sums.actor, actor),
        critic_updates=sums.critic_updates + 1,
        actor_updates=sums.actor_updates + update_policy.astype(jnp.int32),
    )
