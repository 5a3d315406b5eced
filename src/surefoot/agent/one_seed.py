"""A population of one seed whose steps are separate calls, for a loop that is not the trainer's.

Nothing is computed here in another way than in training: the calls are made of the same pieces. The seed's random keys
are split in the order in which things happen, so a loop that acts, stores and updates in the training loop's order
draws the same random numbers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.algorithms import ActorMetrics, CriticMetrics, Learner, LearnerState, statistics
from surefoot.algorithms.statistics import Moments, ReturnMoments
from surefoot.replay import ReplayState
from surefoot.training.population import MetricSums, Population, PopulationState, no_sums
from surefoot.types import Transition

type Seen = tuple[Moments | None, ReturnMoments | None]
"""The running statistics of a learner's state: of its observations and of its returns."""


class UpdateMetrics(NamedTuple):
    """Means over the gradient updates of one call. They lie on the device; reading one waits for the updates."""

    critic: CriticMetrics
    """critic_loss, q_mean, target_mean, critic_grad_norm; all []."""
    actor: ActorMetrics
    """actor_loss, entropy, temperature, actor_grad_norm; all [], NaN where ``policy_delay`` left the actor out."""


class OneSeed(Population):
    """One seed of a learner that acts, stores and updates when it is told to.

    Its state has the axis S = 1 of every population, its arguments and results have none.

    Args:
        learner: what to move.
        seed: where its random numbers come from.
        capacity: replay transitions.
        frames: replay frames.
    """

    def __init__(self, learner: Learner, seed: int, capacity: int, frames: int) -> None:
        super().__init__(learner, [seed], capacity, frames)
        self._uniform = jax.jit(lambda state: _drawn(*self._uniform_action(self._strip(state))))
        self._sample = jax.jit(lambda state, seen: _drawn(*self._policy_action(self._strip(state), seen)))
        self._mode = jax.jit(lambda state, seen: self.learner.act_deterministic(self._strip(state), seen[None])[0])
        self._note = jax.jit(self._note_one)
        self._put = jax.jit(_put_one, donate_argnums=0)
        self._update = jax.jit(self._update_one, static_argnames="count", donate_argnums=0)
        self._programs: dict[Hashable, Any] = {}

    def fresh(self) -> PopulationState:
        """Return the state before anything was seen or done; frame 0 is a placeholder."""
        observation = jnp.zeros((1, self.learner.spec.observation_size))
        return jax.jit(self.over_seeds(self._fresh_one))(self._root_keys(), observation)

    def explore_from(
        self, state: PopulationState, observation: np.ndarray, uniform: bool
    ) -> tuple[PopulationState, np.ndarray]:
        """Return an exploring action [A] for an observation [O], drawn uniformly or from the policy."""
        key, action = self._uniform(state.learner) if uniform else self._sample(state.learner, observation)
        return state._replace(learner=state.learner._replace(key=key)), np.asarray(action)

    def mode(self, state: PopulationState, observation: np.ndarray) -> np.ndarray:
        """Return the policy's deterministic action [A] for an observation [O]."""
        return np.asarray(self._mode(state.learner, observation))

    def put(
        self, state: PopulationState, observation: np.ndarray, transition: Transition, begin: np.ndarray, ends: bool
    ) -> PopulationState:
        """Store a transition, take note of it, and do nothing else.

        Args:
            state: its buffer is donated.
            observation: [O] where the transition began.
            transition: whose ``ended`` is false, since only the next call knows where the next episode begins.
            begin: [] whether ``observation`` is not the newest frame of the buffer.
            ends: whether the episode ended.
        """
        arguments = (state.replay, observation, transition, begin)
        stored = self._program("put", self._put, *arguments)(*arguments)
        seen = (state.learner.observations, state.learner.returns)
        if seen != (None, None):
            observations, returns = self._note(seen, observation, transition, begin, np.array(ends))
            state = state._replace(learner=state.learner._replace(observations=observations, returns=returns))
        return state._replace(replay=stored)

    def update(self, state: PopulationState, grad_steps: int, count: int) -> tuple[PopulationState, UpdateMetrics]:
        """Do ``count`` gradient updates in one call; return the new state and what the updates saw.

        Args:
            state: its learner is donated.
            grad_steps: updates done before this call.
            count: another number is another program, which is compiled when it is first met.
        """
        arguments = (state.learner, state.replay, np.int32(grad_steps))
        learner, metrics = self._program(("update", count), self._update, *arguments, count=count)(*arguments)
        return state._replace(learner=learner), metrics

    def compile(self, state: PopulationState, count: int) -> None:
        """Compile what a loop calls, ``update`` with ``count`` included, and change nothing."""
        spec = self.learner.spec
        observation, action = np.zeros(spec.observation_size, np.float32), np.zeros(spec.action_size, np.float32)
        for uniform in (True, False):
            self.explore_from(state, observation, uniform)
        no = np.array(False)
        transition = Transition(action, np.zeros((), np.float32), observation, no, observation, no)
        self._program("put", self._put, state.replay, observation, transition, no)
        self.mode(state, observation)
        if (seen := (state.learner.observations, state.learner.returns)) != (None, None):
            self._note(seen, observation, transition, no, no)
        self._program(("update", count), self._update, state.learner, state.replay, np.int32(0), count=count)

    def _note_one(
        self, seen: Seen, observation: jax.Array, transition: Transition, begin: jax.Array, ends: jax.Array
    ) -> Seen:
        """Return the running statistics after a transition: each observation that is acted on counts once."""
        observations, returns = self._strip(seen)
        if observations is not None:
            began = statistics.update_moments(observations, observation)
            observations = _either(begin, began, observations)
            observations = _either(
                ends, observations, statistics.update_moments(observations, transition.next_observation)
            )
        if returns is not None:
            returns = statistics.update_return_moments(returns, transition.reward, ends, self.learner.discount)
        return self._clothe((observations, returns))

    def _update_one(
        self, learner: LearnerState, stored: ReplayState, grad_steps: jax.Array, count: int
    ) -> tuple[LearnerState, UpdateMetrics]:
        learned, sums = self._updates((self._strip(learner), no_sums()), stored, grad_steps, count)
        return self._clothe(learned), _means(sums)

    def _program(self, name: Hashable, function: Any, *arguments: Any, **static: Any) -> Any:
        """Return the compiled program of a jitted function that donates: it cannot be called just to compile it."""
        if name not in self._programs:
            self._programs[name] = function.lower(*arguments, **static).compile()
        return self._programs[name]


def _either(condition: jax.Array, this: Moments, that: Moments) -> Moments:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)


def _drawn(learner: LearnerState, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return only what drawing an action changed: whatever else went in would be copied on its way out."""
    return learner.key[None], action


def _put_one(stored: ReplayState, observation: jax.Array, transition: Transition, begin: jax.Array) -> ReplayState:
    # The buffer keeps its axis S: XLA would copy a stripped ring as a whole in every call.
    observation, transition, begin = jax.tree.map(lambda x: jnp.asarray(x)[None], (observation, transition, begin))
    return jax.vmap(replay.add)(jax.vmap(replay.begin_episode)(stored, observation, begin), transition)


def _means(sums: MetricSums) -> UpdateMetrics:
    return UpdateMetrics(
        critic=CriticMetrics(*(total / sums.critic_updates for total in sums.critic)),
        # 0 / 0 where no update touched the actor: NaN, as documented.
        actor=ActorMetrics(*(total / sums.actor_updates for total in sums.actor)),
    )
