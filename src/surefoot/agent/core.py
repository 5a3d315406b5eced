"""Core of an agent: a population of one seed, its state and its counters."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from surefoot.agent.files import load_agent, save_agent
from surefoot.agent.setting import AgentProgress, AgentSetting
from surefoot.algorithms import ActorMetrics, CriticMetrics
from surefoot.errors import RunFailure, UserError
from surefoot.policy import Policy, PolicySpec, save_policy
from surefoot.training.metric_sums import MetricSums, zero_sums
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.training.population import PopulationState, get_population
from surefoot.types import Transition


class UpdateMetrics(NamedTuple):
    """Means over the gradient updates of one call, on the device; reading one waits for the updates."""

    critic: CriticMetrics
    """critic_loss, q_mean, target_mean, critic_grad_norm; all []."""
    actor: ActorMetrics
    """actor_loss, entropy, temperature, actor_grad_norm; all [], NaN if ``policy_delay`` skipped the actor."""

    def __repr__(self) -> str:
        values = {**self.critic._asdict(), **self.actor._asdict()}
        return f"UpdateMetrics({', '.join(f'{name}={_text(value)}' for name, value in values.items())})"


class Observed(NamedTuple):
    """A validated transition, in arrays that are not shared."""

    observation: np.ndarray
    """[O] float32, the observation acted on."""
    transition: Transition
    """In the learner's units; its ``observation`` is ``next_observation``, also at the end of an episode."""


class AgentCore:
    """One seed of a population with its counters. Made by ``start`` or ``load``; used by one thread at a time.

    Attributes:
        setting: Immutable description of the agent.
        agent_steps: Transitions stored so far.
        grad_steps: Gradient updates done so far.
    """

    def __init__(self, setting: AgentSetting) -> None:
        setting.check_memory()
        self.setting = setting
        self.agent_steps = self.grad_steps = 0
        self._population = get_population(setting.algorithm, setting.env_spec, setting.discount, setting.precision)
        self._state: PopulationState
        self._newest: np.ndarray | None = None
        """[O] next observation of the last transition, unless the episode ended with it."""

    @classmethod
    def start(cls, setting: AgentSetting) -> Self:
        """Return an agent that has not learned anything yet."""
        core = cls(setting)
        core._state = core._fresh()
        return core

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the agent that ``save`` wrote."""
        saved = load_agent(path)
        core = cls(saved.setting)
        core._state = saved.restore(jax.eval_shape(core._fresh))
        core.agent_steps, core.grad_steps = saved.progress.agent_steps, saved.progress.grad_steps
        core._newest = saved.newest_observation if saved.progress.continues else None
        return core

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the complete state, and the policy."""
        progress = AgentProgress(self.agent_steps, self.grad_steps, continues=self._newest is not None)
        save_agent(path, self.setting, progress, self._state, self.policy_spec())

    def save_policy(self, path: str | os.PathLike[str]) -> None:
        """Write the policy only."""
        save_policy(path, self.policy_spec(), self.policy_arrays())

    def _fresh(self) -> PopulationState:
        return self._population.init([self.setting.seed], self.setting.replay_capacity, self.setting.frames)

    # ---------------------------------------------------------------- act, store, update

    def explore(self, observation: np.ndarray) -> np.ndarray:
        """Return an exploring action [A] in [-1, 1] for one observation [O]."""
        uniform = self.agent_steps < self.setting.algorithm.warmup_transitions
        self._state, action = self._population.act(self._state, observation[None], uniform)
        return self._finite(np.asarray(action)[0])

    def exploit(self, observation: np.ndarray) -> np.ndarray:
        """Return the deterministic action [A] in [-1, 1] for one observation [O]."""
        return self._finite(self._population.act_deterministic(self._state.learner, observation[None, None])[0, 0])

    def check(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> Observed:
        """Validate a transition and convert it to the learner's units. Changes nothing; safe in any thread.

        Raises:
            UserError: A value is invalid.
        """
        spaces = self.setting.spaces
        try:
            with np.errstate(over="ignore"):  # Infinity is rejected below.
                value = np.array(reward, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"reward must be a number, got {reward!r}") from None
        if value.shape or not np.isfinite(value):
            raise UserError(f"reward must be one number that is finite in float32, got {reward!r}")
        after = spaces.to_flat(next_obs, "next_obs")
        is_terminal = _flag("terminated", terminated)
        transition = Transition(
            action=spaces.to_unit(action),
            reward=value,
            next_observation=after,
            terminated=np.array(is_terminal),
            observation=after,
            ended=np.array(_flag("truncated", truncated) or is_terminal),
        )
        return Observed(spaces.to_flat(obs, "obs"), transition)

    def store(self, observed: Observed) -> None:
        """Store a validated transition in the replay buffer."""
        transition, ended = observed.transition, bool(observed.transition.ended)
        if self._newest is None or not np.array_equal(observed.observation, self._newest):
            self._state = self._population.start_episodes(self._state, observed.observation[None], np.array([True]))
        one = jax.tree.map(lambda leaf: leaf[None], transition)
        self._state = self._population.store(self._state, one, np.array([not ended]))
        self.agent_steps += 1
        self._newest = None if ended else np.asarray(transition.next_observation)

    def update(self, count: int) -> UpdateMetrics:
        """Do ``count`` gradient updates; the buffer must not be empty."""
        self._state = self._population.update(self._state, self.grad_steps, count)
        self.grad_steps += count
        metrics, zeros = _take_means(self._state.metrics)
        self._state = self._state._replace(metrics=zeros)
        return metrics

    def compile(self, count: int) -> None:
        """Compile all device functions, including ``update(count)``. Changes nothing."""
        self._population.compile(self._state, count)
        _take_means.lower(self._state.metrics).compile()

    # ---------------------------------------------------------------- the policy

    def policy(self) -> Policy:
        """Return a NumPy copy of the policy. Waits for updates in progress."""
        arrays = self.policy_arrays()
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise self._divergence()
        return Policy(self.policy_spec(), arrays, 0)

    def policy_arrays(self) -> dict[str, np.ndarray]:
        """Return the actor's arrays [1, ...] by layer."""
        return policy_arrays(self._state.learner.actor, self._state.learner.observations)

    def policy_spec(self) -> PolicySpec:
        """Return the description stored in a policy file."""
        setting = self.setting
        return PolicySpec(
            spaces=setting.spaces.described,
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
        return RunFailure(f"learning diverged: after {self.grad_steps:,} updates the policy is not finite")


@jax.jit
def _take_means(sums: MetricSums) -> tuple[UpdateMetrics, MetricSums]:
    """Return the means of one seed's sums [1], and sums over no updates [1]."""
    means = UpdateMetrics(
        critic=CriticMetrics(*((total / sums.critic_updates)[0] for total in sums.critic)),
        # 0 / 0 without an actor update: NaN, as documented.
        actor=ActorMetrics(*((total / sums.actor_updates)[0] for total in sums.actor)),
    )
    return means, jax.tree.map(lambda leaf: leaf[None], zero_sums())


def _text(value: Any) -> str:
    try:
        return f"{float(value):.4g}"
    except TypeError:  # it is being traced
        return str(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} must be True or False, got {value!r}")
    return bool(value)
