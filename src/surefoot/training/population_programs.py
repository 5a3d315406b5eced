"""Compiled programs of a population: functions of one seed's learner, for S seeds with N environments each."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from surefoot import replay
from surefoot.algorithms import Learner, LearnerState
from surefoot.algorithms.held_noise import HeldNoiseState
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.replay import ReplayState
from surefoot.training.metric_sums import MetricSums, add_metrics, zero_sums
from surefoot.training.seed_axis import (
    by_seed,
    each_seed,
    expand_seed,
    num_seeds,
    over_seeds,
    repeated,
    squeeze_seed,
)
from surefoot.training.weight_norms import weight_norms
from surefoot.types import Array, Batch, Transition

_DIAGNOSIS_STREAM = 0x100C
"""Folded into a seed's key for measurements, which must not affect the random numbers of training."""


class PopulationState(NamedTuple):
    """Everything on the device."""

    learner: LearnerState
    """[S, ...]"""
    replay: ReplayState
    """[K, ...]"""
    metrics: MetricSums
    """[S]"""


class PopulationPrograms:
    """Jitted functions of S >= 1 seeds of one learner, which compile once for equal shapes.

    Args:
        learner: Functions of one seed.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        # Dozens of random draws, run once: LLVM's usual optimisations take as long again and leave the bits unchanged.
        quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
        self._init = jax.jit(self._initial_state, static_argnums=(2, 3, 4, 5), compiler_options=quick)
        self.store = jax.jit(self._store_transition, donate_argnums=0)
        self.start_episodes = jax.jit(self._start_episodes, donate_argnums=0)
        self.update = jax.jit(self._updates, static_argnums=4, donate_argnums=(0, 1))
        self.train_step = jax.jit(self._store_update_act, static_argnums=(3, 4), donate_argnums=0)
        self.act = jax.jit(self._draw_actions, static_argnums=2)
        self.act_deterministic = jax.jit(over_seeds(learner.act_deterministic))
        self.reset = jax.jit(self._reset_learners, donate_argnums=0)
        self.diagnosis_batch = jax.jit(self._diagnosis_batch)
        self.weight_norms = jax.jit(over_seeds(functools.partial(weight_norms, learner)))

    def init(self, keys: jax.Array, *arguments: Any) -> PopulationState:
        """Return the state before the first step.

        Args:
            keys: [S] of the seeds.
            *arguments: First observations [K, O], replay transitions and frames per environment, N, and whether the
                observations are placeholders.
        """
        # Within another traced function, a jitted one cannot have options of its own.
        init = self._initial_state if isinstance(keys, jax.core.Tracer) else self._init
        return init(keys, *arguments)

    def init_shapes(self, keys: jax.Array, *arguments: Any) -> PopulationState:
        """Return the shapes of what ``init`` returns, from the trace that it uses."""
        shapes: PopulationState = self._init.eval_shape(keys, *arguments)
        return shapes

    def traced_step(
        self,
        state: PopulationState,
        transition: Transition,
        grad_steps: jax.Array,
        num_updates: int,
        *,
        updates: jax.Array,
        uniform: jax.Array,
    ) -> tuple[PopulationState, jax.Array]:
        """Do ``train_step`` within a larger program.

        Args:
            state: State.
            transition: [K, ...] outcome of the last actions.
            grad_steps: [] updates done before this call, shared by all seeds.
            num_updates: Updates to do where ``updates`` holds.
            updates: [] bool, whether to do updates.
            uniform: [] bool, whether to draw the next actions uniformly.
        """
        state = self._stored(state, transition)
        learner, metrics = jax.lax.cond(
            updates,
            lambda given: self._updates(given[0], given[1], state.replay, grad_steps, num_updates),
            lambda given: given,
            (state.learner, state.metrics),
        )
        draw = self._draw_actions
        drawn = jax.lax.cond(
            uniform,
            lambda learner: draw(learner, transition.observation, True),
            lambda learner: draw(learner, transition.observation, False),
            learner,
        )
        return _acted(PopulationState(learner, state.replay, metrics), drawn)

    # ---------------------------------------------------------------- traced, for all seeds

    def _initial_state(
        self, keys: jax.Array, observation: Array, capacity: int, frames: int, num_envs: int, placeholder: bool
    ) -> PopulationState:
        def init(key: jax.Array, observation: jax.Array) -> tuple[LearnerState, MetricSums]:
            learner = _with_environments(self._learner.init(key), num_envs)
            if not placeholder:
                learner = self._learner.statistics.update_observations(learner, observation)
            return learner, zero_sums()

        learner, metrics = over_seeds(init)(keys, by_seed(observation, len(keys)))
        make = functools.partial(replay.init, self._learner.spec, capacity, frames)
        return PopulationState(learner, over_seeds(make)(observation), metrics)

    def _reset_learners(self, learner: LearnerState) -> LearnerState:
        reset = over_seeds(self._learner.reset)(learner)
        if (held := learner.held_noise) is None:
            return reset
        fresh = over_seeds(lambda new: repeated(new, held.remaining.shape[1] if held.remaining.ndim > 1 else 1))
        return reset._replace(held_noise=fresh(reset.held_noise))

    def _store_transition(
        self, stored: ReplayState, learner: LearnerState, transition: Transition, continues: Array
    ) -> tuple[ReplayState, Moments | None, ReturnMoments | None]:
        added = jax.vmap(replay.add)(stored, transition._replace(ended=transition.ended & continues))
        own, continued = by_seed((transition, continues), num_seeds(learner))
        updated = over_seeds(self._learner.statistics.update_returns)(learner, own.reward, own.ended)
        observed = over_seeds(self._observe_if)(updated, own.observation, continued)
        return added, observed, updated.returns

    def _start_episodes(
        self, stored: ReplayState, learner: LearnerState, observation: jax.Array, starts: jax.Array
    ) -> tuple[ReplayState, Moments | None]:
        started = jax.vmap(replay.start_episode)(stored, observation, starts)
        return started, over_seeds(self._observe_if)(learner, *by_seed((observation, starts), num_seeds(learner)))

    def _store_update_act(
        self, state: PopulationState, transition: Transition, grad_steps: jax.Array, num_updates: int, uniform: bool
    ) -> tuple[PopulationState, jax.Array]:
        state = self._stored(state, transition)
        if num_updates:
            learner, metrics = self._updates(state.learner, state.metrics, state.replay, grad_steps, num_updates)
            state = state._replace(learner=learner, metrics=metrics)
        return _acted(state, self._draw_actions(state.learner, transition.observation, uniform))

    def _stored(self, state: PopulationState, transition: Transition) -> PopulationState:
        stored = jax.vmap(replay.add)(state.replay, transition)
        own = by_seed(transition, num_seeds(state.learner))
        return state._replace(learner=over_seeds(self._learner.statistics.update)(state.learner, own), replay=stored)

    def _updates(
        self, learner: LearnerState, metrics: MetricSums, stored: ReplayState, grad_steps: jax.Array, num_updates: int
    ) -> tuple[LearnerState, MetricSums]:
        """Scan ``num_updates`` gradient updates; a single seed's learner has no axis S within the scan."""
        algorithm, seeds = self._learner.algorithm, num_seeds(learner)
        split = each_seed(lambda key: jax.random.split(key, 3), seeds)
        step, accumulate = (each_seed(function, seeds, shared=1) for function in (self._learner.update, add_metrics))

        def update(
            carry: tuple[LearnerState, MetricSums], i: jax.Array
        ) -> tuple[tuple[LearnerState, MetricSums], None]:
            learner, sums = carry
            keys = split(learner.key)
            key, sample_key, update_key = keys[..., 0], keys[..., 1], keys[..., 2]
            # Buffers keep their axis K, whatever the number of seeds: XLA would copy a squeezed ring in every call.
            sample_keys = sample_key[None] if seeds == 1 else sample_key
            batch = squeeze_seed(replay.sample(stored, sample_keys, algorithm.batch_size))
            # The count is shared by all seeds, so the predicate has no seed axis and the branch stays a branch.
            policy_due = self._learner.is_policy_due(grad_steps + i)
            learner, critic, actor = step(learner._replace(key=key), batch, update_key, policy_due)
            return (learner, accumulate(sums, critic, actor, policy_due)), None

        carry, _ = jax.lax.scan(update, squeeze_seed((learner, metrics)), jnp.arange(num_updates))
        return expand_seed(carry, seeds)

    def _draw_actions(
        self, learner: LearnerState, observation: Array, uniform: bool
    ) -> tuple[jax.Array, HeldNoiseState | None, jax.Array]:
        """Return new keys [S], the held noise [S] and actions [K, A]; nothing else of the learner changes."""
        size = (self._learner.spec.action_size,)

        def one(
            learner: LearnerState, noise: HeldNoiseState | None, observation: Array, key: jax.Array
        ) -> tuple[HeldNoiseState | None, jax.Array]:
            if uniform:
                return noise, jax.random.uniform(key, size, minval=-1.0, maxval=1.0)
            learner = self._learner.advance_noise(learner._replace(held_noise=noise), key)
            return learner.held_noise, self._learner.act(learner, observation, key)

        def draw(learner: LearnerState, observation: Array) -> tuple[jax.Array, HeldNoiseState | None, jax.Array]:
            key, action_key = jax.random.split(learner.key)
            if observation.ndim == 1:
                return key, *one(learner, learner.held_noise, observation, action_key)
            keys = jax.vmap(functools.partial(jax.random.fold_in, action_key))(jnp.arange(len(observation)))
            return key, *jax.vmap(functools.partial(one, learner))(learner.held_noise, observation, keys)

        key, noise, action = over_seeds(draw)(learner, by_seed(observation, num_seeds(learner)))
        return key, noise, action.reshape(-1, *size)

    def _diagnosis_batch(self, state: PopulationState) -> tuple[Batch, jax.Array]:
        keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, _DIAGNOSIS_STREAM)))(state.learner.key)
        return replay.sample(state.replay, keys[:, 0], self._learner.algorithm.batch_size), keys[:, 1]

    # ---------------------------------------------------------------- traced, for one seed

    def _observe_if(self, learner: LearnerState, observation: Array, condition: Array) -> Moments | None:
        """Return the observation statistics with an observation [O], or those [N, O], for which the condition holds."""

        def one(moments: Moments, given: tuple[Array, Array]) -> tuple[Moments, None]:
            updated = self._learner.statistics.update_observations(learner._replace(observations=moments), given[0])
            return jax.tree.map(lambda old, new: jnp.where(given[1], new, old), moments, updated.observations), None

        if learner.observations is None:
            return None
        given, scan = (observation, condition), observation.ndim > 1
        return (jax.lax.scan(one, learner.observations, given) if scan else one(learner.observations, given))[0]


def _acted(
    state: PopulationState, drawn: tuple[jax.Array, HeldNoiseState | None, jax.Array]
) -> tuple[PopulationState, jax.Array]:
    """Return the state with the keys and the noise after drawing actions, and the actions."""
    key, noise, action = drawn
    return state._replace(learner=state.learner._replace(key=key, held_noise=noise)), action


def _with_environments(learner: LearnerState, num_envs: int) -> LearnerState:
    """Return one seed's fresh state with what exists for each of its environments."""
    if learner.returns is not None:
        running = repeated(learner.returns.running_return, num_envs)
        learner = learner._replace(returns=learner.returns._replace(running_return=running))
    return learner._replace(held_noise=repeated(learner.held_noise, num_envs))
