"""A learner's running statistics, and batches normalised and scaled by them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from surefoot.algorithms import statistics
from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.learner_state import LearnerState
from surefoot.algorithms.parts import BoundedReturnScaling
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.types import Array, Batch, EnvSpec, Transition


class RunningStatistics:
    """Statistics of an algorithm's ``observation_norm`` and ``reward_scaling``, as pure functions on a state.

    An algorithm without these parts has no statistics, and its batches stay as they are.

    Args:
        algorithm: Composition to train.
        spec: Sizes of the environment.
        discount: gamma per agent step.
    """

    def __init__(self, algorithm: Algorithm, spec: EnvSpec, discount: float) -> None:
        self._observation_norm, self._reward_scaling = algorithm.observation_norm, algorithm.reward_scaling
        self._spec, self._discount = spec, discount

    def init_observations(self) -> Moments | None:
        """Return the initial statistics of observations."""
        return None if self._observation_norm is None else statistics.init_moments((self._spec.observation_size,))

    def init_returns(self) -> ReturnMoments | None:
        """Return the initial statistics of returns."""
        if self._reward_scaling is None:
            return None
        return statistics.init_return_moments(bounded=isinstance(self._reward_scaling, BoundedReturnScaling))

    def update(self, state: LearnerState, transition: Transition) -> LearnerState:
        """Update all statistics with a transition, or N of them [N, ...], that enters the replay buffer."""
        state = self.update_observations(state, transition.observation)
        return self.update_returns(state, transition.reward, transition.ended)

    def update_observations(self, state: LearnerState, observation: Array) -> LearnerState:
        """Update the observation statistics with an observation to act on, [O] or [N, O]."""
        if state.observations is None:
            return state
        return state._replace(observations=statistics.update_moments(state.observations, observation))

    def update_returns(self, state: LearnerState, reward: Array, ended: Array) -> LearnerState:
        """Update the return statistics with a reward and whether its step ended the episode, both [] or [N]."""
        if state.returns is None:
            return state
        return state._replace(returns=statistics.update_return_moments(state.returns, reward, ended, self._discount))

    def normalize(self, state: LearnerState, observation: Array) -> jax.Array:
        """Return observations [B, O] as network inputs."""
        if (norm := self._observation_norm) is None:
            return jnp.asarray(observation)
        assert state.observations is not None
        return statistics.normalize(state.observations, observation, norm.epsilon)

    def scale_reward(self, state: LearnerState, reward: jax.Array) -> jax.Array:
        """Return rewards [...] as the critic's loss takes them."""
        if (scaling := self._reward_scaling) is None:
            return reward
        assert state.returns is not None
        if isinstance(scaling, BoundedReturnScaling):
            return statistics.scale_reward_bounded(state.returns, reward, scaling.bound, scaling.epsilon)
        return statistics.scale_reward(state.returns, reward, scaling.epsilon)

    def preprocess(self, state: LearnerState, batch: Batch) -> Batch:
        """Return the batch as the losses take it: observations normalised and rewards scaled, where configured."""
        if self._observation_norm is not None:
            batch = batch._replace(
                observation=self.normalize(state, batch.observation),
                next_observation=self.normalize(state, batch.next_observation),
            )
        if self._reward_scaling is not None:
            batch = batch._replace(reward=self.scale_reward(state, batch.reward))
        return batch
