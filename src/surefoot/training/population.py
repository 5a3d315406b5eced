"""Training of S seeds, each with N environments, in one jitted call per vector step."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Algorithm, Learner, LearnerState
from surefoot.networks.matmul import Precision
from surefoot.training.metric_sums import MetricSums
from surefoot.training.population_programs import PopulationPrograms, PopulationState
from surefoot.training.seed_axis import num_seeds
from surefoot.training.weight_norms import WeightNorms
from surefoot.types import Array, Batch, EnvSpec, Transition

_CACHED_POPULATIONS = 8
"""Populations whose compiled programs a process keeps."""


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
        self.programs = PopulationPrograms(learner)

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
        return self.programs.init(*self._init_arguments(seeds, capacity, frames, observation, num_envs))

    def init_shapes(
        self,
        seeds: Sequence[int],
        capacity: int,
        frames: int,
        observation: np.ndarray | None = None,
        num_envs: int = 1,
    ) -> PopulationState:
        """Return the shapes of what ``init`` returns, from the trace that it uses."""
        return self.programs.init_shapes(*self._init_arguments(seeds, capacity, frames, observation, num_envs))

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
        stored, moments = self.programs.start_episodes(state.replay, state.learner, observation, starts)
        return state._replace(replay=stored, learner=state.learner._replace(observations=moments))

    def reset_networks(self, state: PopulationState) -> PopulationState:
        """Give every seed fresh networks, optimisers and temperature; the buffers stay. ``state`` is donated."""
        return state._replace(learner=self.programs.reset(state.learner))

    # ---------------------------------------------------------------- one vector step

    def store(self, state: PopulationState, transition: Transition, continues: Array) -> PopulationState:
        """Store a transition of every environment and update the running statistics.

        Args:
            state: Its buffers are donated.
            transition: [K, ...] outcome of the last actions.
            continues: [K] bool, whether ``transition.observation`` will be acted on. Where it is False, the next
                transition must be preceded by ``start_episodes``.
        """
        stored, observations, returns = self.programs.store(state.replay, state.learner, transition, continues)
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
        learner, metrics = self.programs.update(state.learner, state.metrics, state.replay, np.int32(grad_steps), count)
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
        key, noise, action = self.programs.act(state.learner, observation, uniform)
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
        return self.programs.train_step(state, transition, np.int32(grad_steps), count, uniform)

    def default_updates(self, state: PopulationState) -> int:
        """Return the gradient updates of a vector step: UTD times N, or 1 where that is less."""
        num_envs = num_seeds(state.replay) // num_seeds(state.learner)
        return max(1, math.floor(self.learner.algorithm.utd * num_envs))

    def act_deterministic(self, learner: LearnerState, observation: np.ndarray) -> np.ndarray:
        """Return deterministic actions [S, E, A] for observations [S, E, O]."""
        return np.asarray(self.programs.act_deterministic(learner, observation))

    def compile(self, state: PopulationState, num_updates: int) -> None:
        """Compile ``start_episodes``, ``store``, ``update`` and both kinds of ``act``; ``state`` is not changed."""
        transition = self._no_transition(state)
        observation, no, programs = transition.observation, transition.ended, self.programs
        for program in (
            programs.start_episodes.lower(state.replay, state.learner, observation, no),
            programs.store.lower(state.replay, state.learner, transition, no),
            self.lower_update(state, num_updates),
            programs.act.lower(state.learner, observation, True),
            programs.act.lower(state.learner, observation, False),
            programs.act_deterministic.lower(state.learner, observation[: num_seeds(state.learner), None]),
        ):
            program.compile()

    def lower_update(self, state: PopulationState, num_updates: int) -> jax.stages.Lowered:
        """Lower ``update`` without running it; ``state`` may consist of shapes."""
        return self.programs.update.lower(state.learner, state.metrics, state.replay, np.int32(0), num_updates)

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
        return self.programs.train_step.lower(state, self._no_transition(state), np.int32(0), count, uniform)

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
        norms = jax.tree.map(np.asarray, self.programs.weight_norms(state.learner))
        return state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics)), sums, norms

    def diagnosis_batch(self, state: PopulationState) -> tuple[Batch, jax.Array]:
        """Return a batch [S, B, ...] and keys [S] for measurements, without affecting what training draws.

        Args:
            state: Not donated; its buffers must not be empty.
        """
        return self.programs.diagnosis_batch(state)
