"""Training step of S seeds, each with N environments, in one jitted call per vector step."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.algorithms import Algorithm, Learner, LearnerState
from surefoot.algorithms.held_noise import HeldNoiseState
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.networks.matmul import Precision
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
from surefoot.training.weight_norms import WeightNorms, weight_norms
from surefoot.types import Array, Batch, EnvSpec, Transition

_DIAGNOSIS_STREAM = 0x100C
"""Folded into a seed's key for measurements, which must not affect the random numbers of training."""

_CACHED_POPULATIONS = 8
"""Populations whose compiled programs a process keeps."""


class PopulationState(NamedTuple):
    """Everything on the device."""

    learner: LearnerState
    """[S, ...]"""
    replay: ReplayState
    """[K, ...]"""
    metrics: MetricSums
    """[S]"""


@functools.lru_cache(maxsize=_CACHED_POPULATIONS)
def get_population(algorithm: Algorithm, spec: EnvSpec, discount: float, precision: Precision) -> Population:
    """Return the population of an algorithm; equal arguments share one, and with it its compiled programs.

    Args:
        algorithm: Algorithm to train.
        spec: Sizes of the environment.
        discount: Gamma per agent step.
        precision: Precision of the layers' products in updates.
    """
    return Population(Learner(algorithm, spec, discount, precision))


class Population:
    """Store, update and act for S >= 1 seeds of one learner, as functions of explicit state.

    A population holds no state: seeds, environments per seed and buffer sizes are arguments, so runs of equal shapes
    share its compiled programs (see ``get_population``). Whatever drives training calls ``init``, then per vector step
    either ``train_step`` or ``store``, ``update`` and ``act``. Random numbers of a seed follow from its own seed alone.

    Args:
        learner: Functions of one seed.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        # Dozens of random draws, run once: LLVM's usual optimisations take as long again and leave the bits unchanged.
        quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
        self._init = jax.jit(self._initial_state, static_argnums=(2, 3, 4, 5), compiler_options=quick)
        self._store = jax.jit(self._store_transition, donate_argnums=0)
        self._start = jax.jit(self._start_episodes, donate_argnums=0)
        self._update = jax.jit(self._updates, static_argnums=4, donate_argnums=(0, 1))
        self._train_step = jax.jit(self._store_update_act, static_argnums=(3, 4), donate_argnums=0)
        self._act = jax.jit(self._draw_actions, static_argnums=2)
        self._act_deterministic = jax.jit(over_seeds(learner.act_deterministic))
        self._reset = jax.jit(self._reset_learners, donate_argnums=0)
        self._batch = jax.jit(self._diagnosis_batch)
        self._norms = jax.jit(over_seeds(functools.partial(weight_norms, learner)))

    # ---------------------------------------------------------------- start

    def init(
        self,
        seeds: Sequence[int],
        capacity: int,
        frames: int,
        observation: np.ndarray | None = None,
        num_envs: int = 1,
    ) -> PopulationState:
        """Return the state before the first step.

        Args:
            seeds: Training seeds, one per agent.
            capacity: Replay transitions per environment.
            frames: Replay frames per environment.
            observation: [K, O] first observations to act on; None where ``start_episodes`` supplies them.
            num_envs: N, environments per seed.
        """
        arguments = self._init_arguments(seeds, capacity, frames, observation, num_envs)
        # Within another traced function, a jitted one cannot have options of its own.
        return (self._initial_state if isinstance(arguments[0], jax.core.Tracer) else self._init)(*arguments)

    def init_shapes(
        self,
        seeds: Sequence[int],
        capacity: int,
        frames: int,
        observation: np.ndarray | None = None,
        num_envs: int = 1,
    ) -> PopulationState:
        """Return the shapes of what ``init`` returns, from the trace that it uses."""
        shapes: PopulationState = self._init.eval_shape(
            *self._init_arguments(seeds, capacity, frames, observation, num_envs)
        )
        return shapes

    def _init_arguments(
        self, seeds: Sequence[int], capacity: int, frames: int, observation: np.ndarray | None, num_envs: int
    ) -> tuple[jax.Array, np.ndarray, int, int, int, bool]:
        keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        first = np.zeros((len(seeds) * num_envs, self.learner.spec.observation_size), np.float32)
        given = first if observation is None else observation
        return keys, given, capacity, frames, num_envs, observation is None

    def start_episodes(self, state: PopulationState, observation: Array, starts: Array) -> PopulationState:
        """Start new episodes in place of unfinished ones.

        Args:
            state: Its buffers are donated.
            observation: [K, O] first observations of the new episodes.
            starts: [K] bool, the environments concerned.
        """
        stored, moments = self._start(state.replay, state.learner, observation, starts)
        return state._replace(replay=stored, learner=state.learner._replace(observations=moments))

    def reset_networks(self, state: PopulationState) -> PopulationState:
        """Give every seed fresh networks, optimisers and temperature; the buffers stay. ``state`` is donated."""
        return state._replace(learner=self._reset(state.learner))

    # ---------------------------------------------------------------- one vector step

    def store(self, state: PopulationState, transition: Transition, continues: Array) -> PopulationState:
        """Store a transition of every environment and update the running statistics.

        Args:
            state: Its buffers are donated.
            transition: [K, ...] outcome of the last actions.
            continues: [K] bool, whether ``transition.observation`` will be acted on. Where it is False, the next
                transition must be preceded by ``start_episodes``.
        """
        stored, observations, returns = self._store(state.replay, state.learner, transition, continues)
        learner = state.learner._replace(observations=observations, returns=returns)
        return state._replace(replay=stored, learner=learner)

    def update(self, state: PopulationState, grad_steps: int, num_updates: int | None = None) -> PopulationState:
        """Do gradient updates on what is stored; returns before they are done.

        Args:
            state: Donated, except for its buffers, which must not be empty.
            grad_steps: Updates done before this call, shared by all seeds.
            num_updates: Updates to do, by default those of a vector step (``default_updates``). Each new value compiles
                a new program.
        """
        count = self.default_updates(state) if num_updates is None else num_updates
        learner, metrics = self._update(state.learner, state.metrics, state.replay, np.int32(grad_steps), count)
        return state._replace(learner=learner, metrics=metrics)

    def act(
        self, state: PopulationState, observation: Array, uniform: bool = False
    ) -> tuple[PopulationState, jax.Array]:
        """Return exploring actions [K, A] in [-1, 1] for observations [K, O], and the state with new keys and noise.

        Args:
            state: Not donated.
            observation: [K, O].
            uniform: Draw the actions uniformly (warm-up) instead of from the policy.
        """
        key, noise, action = self._act(state.learner, observation, uniform)
        return state._replace(learner=state.learner._replace(key=key, held_noise=noise)), action

    def train_step(
        self,
        state: PopulationState,
        transition: Transition,
        grad_steps: int = 0,
        *,
        num_updates: int | None = None,
        uniform: bool = False,
    ) -> tuple[PopulationState, jax.Array]:
        """Do ``store``, ``update`` and ``act`` in one call.

        Args:
            state: Donated.
            transition: [K, ...] outcome of the last actions.
            grad_steps: Updates done before this call, shared by all seeds.
            num_updates: Updates to do, by default those of a vector step (``default_updates``); 0 for none.
            uniform: Draw the next actions uniformly (warm-up) instead of from the policy.

        Returns:
            The new state, and actions [K, A] for ``transition.observation``.
        """
        count = self.default_updates(state) if num_updates is None else num_updates
        return self._train_step(state, transition, np.int32(grad_steps), count, uniform)

    def default_updates(self, state: PopulationState) -> int:
        """Return the gradient updates of a vector step: UTD times N, or 1 where that is less."""
        num_envs = num_seeds(state.replay) // num_seeds(state.learner)
        return max(1, math.floor(self.learner.algorithm.utd * num_envs))

    def act_deterministic(self, learner: LearnerState, observation: np.ndarray) -> np.ndarray:
        """Return deterministic actions [S, E, A] for observations [S, E, O]."""
        return np.asarray(self._act_deterministic(learner, observation))

    def compile(self, state: PopulationState, num_updates: int) -> None:
        """Compile ``start_episodes``, ``store``, ``update`` and both kinds of ``act``; ``state`` is not changed."""
        transition = self._no_transition(state)
        observation, no = transition.observation, transition.ended
        for program in (
            self._start.lower(state.replay, state.learner, observation, no),
            self._store.lower(state.replay, state.learner, transition, no),
            self.lower_update(state, num_updates),
            self._act.lower(state.learner, observation, True),
            self._act.lower(state.learner, observation, False),
            self._act_deterministic.lower(state.learner, observation[: num_seeds(state.learner), None]),
        ):
            program.compile()

    def lower_update(self, state: PopulationState, num_updates: int) -> jax.stages.Lowered:
        """Lower ``update`` without running it; ``state`` may consist of shapes."""
        return self._update.lower(state.learner, state.metrics, state.replay, np.int32(0), num_updates)

    def lower_train_step(
        self, state: PopulationState, num_updates: int | None = None, uniform: bool = False
    ) -> jax.stages.Lowered:
        """Lower ``train_step`` without running it; ``state`` may consist of shapes.

        Args:
            state: State.
            num_updates: Updates to do, by default those of a vector step (``default_updates``); 0 for none.
            uniform: As for ``train_step``.
        """
        count = self.default_updates(state) if num_updates is None else num_updates
        return self._train_step.lower(state, self._no_transition(state), np.int32(0), count, uniform)

    def _no_transition(self, state: PopulationState) -> Transition:
        """Return a transition [K, ...] of zeros."""
        environments, spec = state.replay.oldest.shape[0], self.learner.spec
        observation, no = np.zeros((environments, spec.observation_size), np.float32), np.zeros(environments, bool)
        return Transition(
            action=np.zeros((environments, spec.action_size), np.float32),
            reward=np.zeros(environments, np.float32),
            next_observation=observation,
            terminated=no,
            observation=observation,
            ended=no,
        )

    # ---------------------------------------------------------------- measurements

    def take_metrics(self, state: PopulationState) -> tuple[PopulationState, MetricSums, WeightNorms]:
        """Return the state with its sums set to zero, the sums and the weight norms, all [S] and on the host."""
        sums = jax.tree.map(np.array, state.metrics)
        norms = jax.tree.map(np.asarray, self._norms(state.learner))
        return state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics)), sums, norms

    def diagnosis_batch(self, state: PopulationState) -> tuple[Batch, jax.Array]:
        """Return a batch [S, B, ...] and keys [S] for measurements, without affecting what training draws.

        Args:
            state: Not donated; its buffers must not be empty.
        """
        return self._batch(state)

    # ---------------------------------------------------------------- traced, for all seeds

    def _initial_state(
        self, keys: jax.Array, observation: Array, capacity: int, frames: int, num_envs: int, placeholder: bool
    ) -> PopulationState:
        def init(key: jax.Array, observation: jax.Array) -> tuple[LearnerState, MetricSums]:
            learner = _with_environments(self.learner.init(key), num_envs)
            if not placeholder:
                learner = self.learner.statistics.update_observations(learner, observation)
            return learner, zero_sums()

        learner, metrics = over_seeds(init)(keys, by_seed(observation, len(keys)))
        make = functools.partial(replay.init, self.learner.spec, capacity, frames)
        return PopulationState(learner, over_seeds(make)(observation), metrics)

    def _reset_learners(self, learner: LearnerState) -> LearnerState:
        reset = over_seeds(self.learner.reset)(learner)
        if (held := learner.held_noise) is None:
            return reset
        fresh = over_seeds(lambda new: repeated(new, held.remaining.shape[1] if held.remaining.ndim > 1 else 1))
        return reset._replace(held_noise=fresh(reset.held_noise))

    def _store_transition(
        self, stored: ReplayState, learner: LearnerState, transition: Transition, continues: Array
    ) -> tuple[ReplayState, Moments | None, ReturnMoments | None]:
        added = jax.vmap(replay.add)(stored, transition._replace(ended=transition.ended & continues))
        own, continued = by_seed((transition, continues), num_seeds(learner))
        updated = over_seeds(self.learner.statistics.update_returns)(learner, own.reward, own.ended)
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

    def _stored(self, state: PopulationState, transition: Transition) -> PopulationState:
        stored = jax.vmap(replay.add)(state.replay, transition)
        own = by_seed(transition, num_seeds(state.learner))
        return state._replace(learner=over_seeds(self.learner.statistics.update)(state.learner, own), replay=stored)

    def _updates(
        self, learner: LearnerState, metrics: MetricSums, stored: ReplayState, grad_steps: jax.Array, num_updates: int
    ) -> tuple[LearnerState, MetricSums]:
        """Scan ``num_updates`` gradient updates; a single seed's learner has no axis S within the scan."""
        algorithm, seeds = self.learner.algorithm, num_seeds(learner)
        split = each_seed(lambda key: jax.random.split(key, 3), seeds)
        step, accumulate = (each_seed(function, seeds, shared=1) for function in (self.learner.update, add_metrics))

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
            policy_due = self.learner.is_policy_due(grad_steps + i)
            learner, critic, actor = step(learner._replace(key=key), batch, update_key, policy_due)
            return (learner, accumulate(sums, critic, actor, policy_due)), None

        carry, _ = jax.lax.scan(update, squeeze_seed((learner, metrics)), jnp.arange(num_updates))
        return expand_seed(carry, seeds)

    def _draw_actions(
        self, learner: LearnerState, observation: Array, uniform: bool
    ) -> tuple[jax.Array, HeldNoiseState | None, jax.Array]:
        """Return new keys [S], the held noise [S] and actions [K, A]; nothing else of the learner changes."""
        size = (self.learner.spec.action_size,)

        def one(
            learner: LearnerState, noise: HeldNoiseState | None, observation: Array, key: jax.Array
        ) -> tuple[HeldNoiseState | None, jax.Array]:
            if uniform:
                return noise, jax.random.uniform(key, size, minval=-1.0, maxval=1.0)
            learner = self.learner.advance_noise(learner._replace(held_noise=noise), key)
            return learner.held_noise, self.learner.act(learner, observation, key)

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
        return replay.sample(state.replay, keys[:, 0], self.learner.algorithm.batch_size), keys[:, 1]

    # ---------------------------------------------------------------- traced, for one seed

    def _observe_if(self, learner: LearnerState, observation: Array, condition: Array) -> Moments | None:
        """Return the observation statistics with an observation [O], or those [N, O], for which the condition holds."""

        def one(moments: Moments, given: tuple[Array, Array]) -> tuple[Moments, None]:
            updated = self.learner.statistics.update_observations(learner._replace(observations=moments), given[0])
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
