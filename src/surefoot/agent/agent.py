"""Agent for custom training and control loops."""

from __future__ import annotations

import os
from typing import Any, Self, SupportsIndex

import gymnasium
import numpy as np

from surefoot.agent.core import AgentCore, UpdateMetrics
from surefoot.agent.setting import make_setting, update_count
from surefoot.agent.spaces import Spaces
from surefoot.algorithms import Algorithm
from surefoot.errors import UserError
from surefoot.machine import PrecisionChoice
from surefoot.misplaced import explains_keywords
from surefoot.policy import Policy
from surefoot.spaces import require_same
from surefoot.tasks.spaces import describe_spaces


class Agent:
    """One learner with its replay buffer, driven by your own loop.

    Equals one seed of ``surefoot.train``: a loop that calls ``act``, ``observe`` and ``update`` once per decision
    learns the same parameters, bit for bit on CPU where actions lie in [-1, 1]. Not so with ``observation_norm``: an
    agent adds an episode's first observation to the statistics one step later. Only one thread at a time may use an
    agent; see ``AsyncLearner`` for learning concurrent with a control loop.

    Args:
        observation_space: A Box, or a Dict or Tuple of such, which are concatenated in the order of keys and indices.
        action_space: A Box of real numbers with finite bounds.
        algorithm: Algorithm and its hyperparameters, or its name; CrossQ + WN as released by default.
        seed: Seed of all random numbers, 0 to 2**31 - 1.
        replay_capacity: Number of transitions kept, more than the algorithm's warm-up. The memory is allocated at once.
        discount: Discount factor per decision; by default the algorithm's own, or 0.99 if it has none.
        task: Task name stored in the policy's file.
        precision: Precision of matrix products in updates, "auto", "float32", "tf32" or "bf16", as for
            ``surefoot.train``; a saved agent keeps it.

    Raises:
        UserError: A space or a value is invalid, or the buffer does not fit into memory.
    """

    @explains_keywords
    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        algorithm: Algorithm | str | None = None,
        seed: SupportsIndex | float = 0,
        replay_capacity: SupportsIndex | float = 1_000_000,
        discount: float | None = None,
        task: str = "own-loop",
        precision: PrecisionChoice = "auto",
    ) -> None:
        spaces = Spaces(observation_space, action_space, task)
        setting = make_setting(spaces, algorithm, seed, replay_capacity, discount, task, precision)
        self._core = AgentCore.start(setting)
        self._core_in_use = False

    def __repr__(self) -> str:
        setting = self._core.setting
        spaces = setting.spaces.described
        return (
            f"Agent(task={setting.task!r}, algorithm={self.algorithm.name!r}, seed={setting.seed}, "
            f"observation={spaces.observation_text}, action={spaces.action.shape} {spaces.action.dtype}, "
            f"agent_steps={self.agent_steps:,}, grad_steps={self.grad_steps:,})"
        )

    # ---------------------------------------------------------------- properties

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """Space of observations."""
        return self._core.setting.spaces.observation

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """Space of actions."""
        return self._core.setting.spaces.action

    @property
    def algorithm(self) -> Algorithm:
        """Algorithm and its hyperparameters."""
        return self._core.setting.algorithm

    @property
    def agent_steps(self) -> int:
        """Number of transitions observed."""
        return self._core.agent_steps

    @property
    def grad_steps(self) -> int:
        """Number of gradient updates."""
        return self._core.grad_steps

    # ---------------------------------------------------------------- the loop

    def act(self, obs: Any, deterministic: bool = False) -> np.ndarray:
        """Choose an action.

        Args:
            obs: One observation as the environment returns it: an array in the shape of the observation space, or a
                dict or tuple. What the space does not name is ignored.
            deterministic: Return the policy's mode, tanh(mean). Otherwise the action explores: it is uniform until
                ``algorithm.warmup_transitions`` transitions have been observed, and then sampled from the policy.

        Returns:
            Action in the action space's own units, shape and dtype.

        Raises:
            UserError: The observation has a wrong shape or wrong keys, or is not finite.
            RunFailure: Learning diverged: the policy is no longer finite.
        """
        core = self._free_core("call the learner's act")
        observation = core.setting.spaces.to_flat(obs, "obs")
        unit = core.exploit(observation) if deterministic else core.explore(observation)
        return core.setting.spaces.to_action(unit)

    def observe(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> None:
        """Store one transition, without learning from it yet.

        If ``obs`` differs from the previous ``next_obs``, as after a reset, the buffer stores one observation more.
        Many short episodes therefore evict the oldest transitions earlier.

        Args:
            obs: Observation acted on.
            action: Action that was carried out, in the action space's own units and within its bounds.
            reward: Reward, summed over the decision.
            next_obs: Observation after the action, also at the end of an episode.
            terminated: Whether the value after ``next_obs`` is zero. A time limit, an operator's stop or a safety stop
                that is unrelated to the state is a truncation.
            truncated: Whether the episode ended for another reason.

        Raises:
            UserError: A shape is wrong, a number is not finite, or an action is out of bounds; nothing was stored.
        """
        core = self._free_core("call the learner's observe")
        core.store(core.check(obs, action, reward, next_obs, terminated, truncated))

    def update(self, n: int | None = None) -> UpdateMetrics | None:
        """Do ``n`` gradient updates in one call to the device.

        May return before they are done; ``act`` waits for them. Does nothing during the warm-up: as in
        ``surefoot.train``, learning starts once more than ``algorithm.warmup_transitions`` transitions were observed.

        Args:
            n: Number of updates; ``algorithm.utd`` by default, which must be a whole number then. Each new value is
                compiled at its first use, which takes seconds.

        Returns:
            Metrics of the updates, or None during the warm-up.

        Raises:
            UserError: ``n`` is not a whole number from 1 to 2**20.
        """
        core, count = self._free_core("it makes the updates itself"), self._count(n)
        return core.update(count) if core.agent_steps > core.setting.algorithm.warmup_transitions else None

    def compile(self, n: int | None = None) -> None:
        """Compile ``act``, ``observe`` and ``update(n)`` ahead of their first call.

        Args:
            n: Number of updates per call; ``algorithm.utd`` by default.

        Raises:
            UserError: ``n`` is not a whole number from 1 to 2**20.
        """
        self._free_core("it has compiled the agent").compile(self._count(n))

    # ---------------------------------------------------------------- policy and files

    def policy(self) -> Policy:
        """Return a NumPy copy of the current policy, which later updates do not change.

        Raises:
            RunFailure: Learning diverged: the policy is no longer finite.
        """
        return self._free_core("call the learner's policy").policy()

    def save_policy(self, path: str | os.PathLike[str]) -> None:
        """Write the policy as a folder that ``surefoot.load_policy`` reads, replacing an existing policy.

        Args:
            path: New or empty folder, or one with a policy.

        Raises:
            UserError: The folder holds other files.
            RunFailure: The policy is not finite, or cannot be written.
        """
        self._free_core("call the learner's save_policy").save_policy(path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the complete state of the agent, replay buffer included, replacing a saved agent.

        The folder is written atomically with a checksum for every file. ``surefoot.load_policy`` reads it too.

        Args:
            path: New or empty folder, or one with a saved agent.

        Raises:
            UserError: The path is a file or a folder with other content.
            RunFailure: The policy is not finite, or cannot be written; existing content is unchanged.
        """
        self._free_core("call the learner's save").save(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        observation_space: gymnasium.Space[Any] | None = None,
        action_space: gymnasium.Space[Any] | None = None,
    ) -> Self:
        """Load an agent written by ``save``; it continues as if uninterrupted, bit for bit on CPU.

        Args:
            path: Folder written by ``save``.
            observation_space: Space of the environment that the agent continues in, to compare it with the saved one.
                Changed sizes are also found by ``act``, but changed action bounds only here.
            action_space: Space of the environment's actions, likewise.

        Raises:
            UserError: There is no agent, it is damaged, does not fit into memory, or was saved with other spaces.
        """
        agent = cls.__new__(cls)
        agent._core, agent._core_in_use = AgentCore.load(path), False
        saved, task = agent._core.setting.spaces, agent._core.setting.task
        found = describe_spaces(
            saved.observation if observation_space is None else observation_space,
            saved.action if action_space is None else action_space,
            task,
        )
        require_same(saved.described, found, f"the agent in {os.fspath(path)}", task)
        return agent

    # ---------------------------------------------------------------- for AsyncLearner

    def acquire_core(self) -> AgentCore:
        """Return the agent's core for exclusive use until ``release_core``.

        Raises:
            UserError: The core is already in use.
        """
        core = self._free_core("leave its with block first")
        self._core_in_use = True
        return core

    def release_core(self) -> None:
        """End the exclusive use of the core."""
        self._core_in_use = False

    def _free_core(self, instead: str) -> AgentCore:
        if self._core_in_use:
            raise UserError(f"the agent is in use by an AsyncLearner: {instead}")
        return self._core

    def _count(self, n: int | None) -> int:
        return update_count("n", n, self.algorithm)
