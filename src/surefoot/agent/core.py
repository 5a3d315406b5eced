"""The learner, its replay buffer and its counters, in the learner's own units: what ``Agent`` stands on.

Everything here belongs to the thread that learns, except for what says otherwise.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from surefoot.agent.files import load_agent, save_agent
from surefoot.agent.one_seed import OneSeed, UpdateMetrics
from surefoot.agent.setting import AgentProgress, AgentSetting
from surefoot.algorithms import Algorithm, Learner
from surefoot.errors import RunFailure, UserError
from surefoot.policy import Policy, PolicySpec
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.training.population import PopulationState
from surefoot.types import EnvSpec, Transition


class Observed(NamedTuple):
    """A transition that passed every check, in fresh arrays that nothing else holds."""

    observation: np.ndarray
    """[O] float32, where it began."""
    transition: Transition
    """As the learner sees it; ``ended`` is false, since only the next transition says where the next episode begins."""
    ends: bool
    """Whether the episode ended with it, in whatever way."""


class AgentCore:
    """One seed's population and how far it has come. Make it with ``begin`` or ``load``.

    Attributes:
        setting: what it is.
        agent_steps: transitions stored since it began.
        grad_steps: updates done since it began.
    """

    def __init__(self, setting: AgentSetting) -> None:
        setting.check_memory()
        self.setting = setting
        self.agent_steps = self.grad_steps = 0
        self._population = _population(
            setting.algorithm, setting.env_spec, setting.discount, setting.seed, setting.replay_capacity, setting.frames
        )
        self._state: PopulationState
        self._newest: np.ndarray | None = None
        """[O] where the last transition led, while the next one may go on from there."""

    @classmethod
    def begin(cls, setting: AgentSetting) -> Self:
        """Return an agent that has neither seen nor done anything."""
        core = cls(setting)
        core._state = core._population.fresh()
        return core

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the agent that ``save`` wrote."""
        saved = load_agent(path)
        core = cls(saved.setting)
        core._state = saved.restore(jax.eval_shape(core._population.fresh))
        core.agent_steps, core.grad_steps = saved.progress.agent_steps, saved.progress.grad_steps
        core._newest = saved.newest_observation if saved.progress.continues else None
        return core

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that decides what happens next, and the policy."""
        progress = AgentProgress(self.agent_steps, self.grad_steps, continues=self._newest is not None)
        save_agent(path, self.setting, progress, self._state, self.policy_spec())

    # ---------------------------------------------------------------- act, store, learn

    def explore(self, observation: np.ndarray) -> np.ndarray:
        """Return an exploring action [A] in [-1, 1] for one observation [O]."""
        uniform = self.agent_steps < self.setting.algorithm.warmup_transitions
        self._state, action = self._population.explore_from(self._state, observation, uniform)
        return self._finite(action)

    def exploit(self, observation: np.ndarray) -> np.ndarray:
        """Return the policy's mode [A] in [-1, 1] for one observation [O]."""
        return self._finite(self._population.mode(self._state, observation))

    def check(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> Observed:
        """Return a transition as the learner sees it. It changes nothing, so any thread may call it.

        Raises:
            UserError: a value that is no part of a transition.
        """
        spaces = self.setting.spaces
        try:
            with np.errstate(over="ignore"):  # found below
                value = np.array(reward, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"reward must be a number, got {reward!r}") from None
        if value.shape or not np.isfinite(value):
            raise UserError(f"reward must be one number that is finite in float32, got {reward!r}")
        after = spaces.to_flat(next_obs, "next_obs")
        transition = Transition(
            action=spaces.to_unit(action),
            reward=value,
            next_observation=after,
            terminated=np.array(_flag("terminated", terminated)),
            observation=after,
            ended=np.array(False),
        )
        return Observed(spaces.to_flat(obs, "obs"), transition, _flag("truncated", truncated) or bool(terminated))

    def store(self, seen: Observed) -> None:
        """Put a checked transition into the buffer."""
        begin = self._newest is None or not np.array_equal(seen.observation, self._newest)
        self._state = self._population.put(self._state, seen.observation, seen.transition, np.array(begin), seen.ends)
        self.agent_steps += 1
        self._newest = None if seen.ends else np.asarray(seen.transition.next_observation)

    def learn(self, count: int) -> UpdateMetrics:
        """Do ``count`` gradient updates; the buffer must not be empty."""
        self._state, metrics = self._population.update(self._state, self.grad_steps, count)
        self.grad_steps += count
        return metrics

    def compile(self, count: int) -> None:
        """Compile what the loop calls, ``learn(count)`` included, and change nothing."""
        self._population.compile(self._state, count)

    # ---------------------------------------------------------------- the policy

    def policy(self) -> Policy:
        """Return a copy of the policy in NumPy, having waited for the updates under way."""
        arrays = policy_arrays(self._state.learner.actor, self._state.learner.observations)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise self._divergence()
        return Policy(self.policy_spec(), arrays, 0)

    def policy_arrays(self) -> dict[str, np.ndarray]:
        """Return the actor's arrays [1, ...] by layer."""
        return policy_arrays(self._state.learner.actor, self._state.learner.observations)

    def policy_spec(self) -> PolicySpec:
        """Return what the policy's file says."""
        setting = self.setting
        return PolicySpec(
            observation_size=setting.env_spec.observation_size,
            action_size=setting.env_spec.action_size,
            action_low=tuple(setting.spaces.action_low.tolist()),
            action_high=tuple(setting.spaces.action_high.tolist()),
            observation_keys=setting.spaces.observation_keys,
            task=setting.task,
            algorithm=setting.algorithm.name,
            env_steps=self.agent_steps,
            seeds=(setting.seed,),
            scores=(None,),
            layers=policy_layers(setting.algorithm),
        )

    def _finite(self, action: np.ndarray) -> np.ndarray:
        if not np.isfinite(action).all():
            raise self._divergence()
        return action

    def _divergence(self) -> RunFailure:
        return RunFailure(f"learning diverged: after {self.grad_steps:,} updates the policy is not finite any more")


@functools.lru_cache(maxsize=4)
def _population(algorithm: Algorithm, spec: EnvSpec, discount: float, seed: int, capacity: int, frames: int) -> OneSeed:
    """Return the compiled functions of an agent; they hold no state, so one that is made or loaded again has them."""
    return OneSeed(Learner(algorithm, spec, discount), seed, capacity, frames)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} must be True or False, got {value!r}")
    return bool(value)
