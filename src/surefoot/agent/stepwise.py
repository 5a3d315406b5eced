"""The population's steps as separate calls, for a loop that is not the trainer's.

Nothing is computed here in another way than in training: the calls are made of the same pieces. A seed's random keys
are split in the order in which things happen, so a loop that acts, stores and updates in the training loop's order
draws the same random numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.algorithms import Learner, LearnerState
from surefoot.replay import ReplayState
from surefoot.training.population import MetricSums, Population, PopulationState, no_sums
from surefoot.types import Transition


class StepwisePopulation(Population):
    """S seeds of one learner that act, store and update when they are told to. Takes what ``Population`` takes."""

    def __init__(self, learner: Learner, seeds: Sequence[int], capacity: int, frames: int) -> None:
        super().__init__(learner, seeds, capacity, frames)
        self._uniform = jax.jit(self._over_seeds(lambda state: _drawn(*self._uniform_action(state))))
        self._sample = jax.jit(self._over_seeds(lambda state, seen: _drawn(*self._policy_action(state, seen))))
        self._put = jax.jit(_put_all, donate_argnums=0)
        self._update = jax.jit(self._update_all, static_argnames="count", donate_argnums=0)
        self._programs: dict[Hashable, Any] = {}

    def fresh(self) -> PopulationState:
        """Return the state of seeds that have neither seen nor done anything; frame 0 is a placeholder."""
        observation = jnp.zeros((len(self.seeds), self.learner.spec.observation_size))
        return jax.jit(self._over_seeds(self._fresh_one))(self._root_keys(), observation)

    def act(self, state: PopulationState, observation: np.ndarray, uniform: bool) -> tuple[PopulationState, jax.Array]:
        """Return exploring actions [S, A] for observations [S, O], drawn uniformly or from the policy."""
        key, action = self._uniform(state.learner) if uniform else self._sample(state.learner, observation)
        return state._replace(learner=state.learner._replace(key=key)), action

    def put(
        self, state: PopulationState, observation: np.ndarray, transition: Transition, begin: np.ndarray
    ) -> PopulationState:
        """Store a transition [S, ...] and do nothing else.

        Args:
            state: its buffers are donated.
            observation: [S, O] where the transition began.
            transition: whose ``ended`` is false, since only the next call knows where the next episode begins.
            begin: [S] bool, whether ``observation`` is not the newest frame of the buffer.
        """
        arguments = (state.replay, observation, transition, begin)
        return state._replace(replay=self._program("put", self._put, *arguments)(*arguments))

    def update(self, state: PopulationState, grad_steps: int, count: int) -> tuple[PopulationState, MetricSums]:
        """Do ``count`` gradient updates in one call; return the new state and the sums over them [S], on the device.

        Args:
            state: its learners are donated.
            grad_steps: updates done before this call, shared by all seeds.
            count: another number is another program, which is compiled when it is first met.
        """
        arguments = (state.learner, state.replay, jnp.int32(grad_steps))
        learner, sums = self._program(("update", count), self._update, *arguments, count=count)(*arguments)
        return state._replace(learner=learner), sums

    def compile(self, state: PopulationState, count: int) -> None:
        """Compile ``act``, ``put`` and ``update`` with ``count`` now, and change nothing."""
        observation = np.zeros((len(self.seeds), self.learner.spec.observation_size), np.float32)
        self.act(state, observation, uniform=True)
        _, action = self.act(state, observation, uniform=False)
        no = np.zeros(len(self.seeds), bool)
        reward = np.zeros(len(self.seeds), np.float32)
        transition = Transition(np.asarray(action), reward, observation, no, observation, no)
        self._program("put", self._put, state.replay, observation, transition, no)
        self._program(("update", count), self._update, state.learner, state.replay, jnp.int32(0), count=count)

    def _update_all(
        self, learner: LearnerState, stored: ReplayState, grad_steps: jax.Array, count: int
    ) -> tuple[LearnerState, MetricSums]:
        sums = jax.tree.map(lambda zero: jnp.broadcast_to(zero, (len(self.seeds),)), no_sums())
        return self._clothe(self._updates(self._strip((learner, sums)), stored, grad_steps, count))

    def _program(self, name: Hashable, function: Any, *arguments: Any, **static: Any) -> Any:
        """Return the compiled program of a jitted function that donates: it cannot be called just to compile it."""
        if name not in self._programs:
            self._programs[name] = function.lower(*arguments, **static).compile()
        return self._programs[name]


def _drawn(learner: LearnerState, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return only what drawing an action changed: whatever else went in would be copied on its way out."""
    return learner.key, action


def _put_all(stored: ReplayState, observation: jax.Array, transition: Transition, begin: jax.Array) -> ReplayState:
    return jax.vmap(replay.add)(jax.vmap(replay.begin_episode)(stored, observation, begin), transition)
