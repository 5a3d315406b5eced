"""The agent as an object: for people whose robot, and not a training loop, owns the clock."""

from __future__ import annotations

import os
from typing import Any, Self

import gymnasium
import numpy as np

from surefoot.agent.core import AgentCore, UpdateMetrics
from surefoot.agent.setting import make_setting, whole
from surefoot.agent.spaces import Spaces
from surefoot.algorithms import Algorithm
from surefoot.errors import UserError
from surefoot.policy import Policy, save_policy

_MOST_UPDATES = 2**20


class Agent:
    """One learner with its replay buffer, driven by your own loop.

    It is what ``surefoot.train`` trains, one seed of it: a loop that calls ``act``, ``observe`` and ``update`` once per
    decision learns the same parameters, on CPU bit for bit where actions lie in [-1, 1]. One thread at a time may use
    it; to learn beside a control loop that must not wait, see ``AsyncLearner``.

    Args:
        observation_space: a Box, or a Dict of Boxes, which are joined in the Dict's order.
        action_space: a Box of real numbers with finite bounds.
        algorithm: what to learn with, CrossQ + WN by default.
        seed: where all random numbers come from, 0 to 2**31 - 1.
        replay_capacity: transitions kept, more than the algorithm's warm-up. Its memory is taken at once.
        discount: gamma per decision; None takes the algorithm's own, or 0.99 where it has none.
        task: what the policy's file says it was trained on.

    Raises:
        UserError: a space or a value that cannot work, or a buffer that does not fit into memory.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        algorithm: Algorithm | None = None,
        seed: int = 0,
        replay_capacity: int = 1_000_000,
        discount: float | None = None,
        task: str = "own-loop",
    ) -> None:
        spaces = Spaces(observation_space, action_space, task)
        self._core = AgentCore.start(make_setting(spaces, algorithm, seed, replay_capacity, discount, task))
        self._lent = False

    # ---------------------------------------------------------------- what there is to know

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The space that observations come from."""
        return self._core.setting.spaces.observation

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """The space that actions lie in."""
        return self._core.setting.spaces.action

    @property
    def algorithm(self) -> Algorithm:
        """What the agent learns with."""
        return self._core.setting.algorithm

    @property
    def agent_steps(self) -> int:
        """Transitions observed since the agent was made."""
        return self._core.agent_steps

    @property
    def grad_steps(self) -> int:
        """Gradient updates done since the agent was made."""
        return self._core.grad_steps

    # ---------------------------------------------------------------- the loop

    def act(self, obs: Any, deterministic: bool = False) -> np.ndarray:
        """Choose an action.

        Args:
            obs: one observation in the shape of the observation space.
            deterministic: the policy's mode, tanh(mean). Otherwise the action explores: it is drawn uniformly until
                ``algorithm.warmup_transitions`` transitions have been observed, and from the policy after that.

        Returns:
            An array in the action space's own units, shape and dtype.

        Raises:
            UserError: the observation has another shape or other keys, or is not finite.
            RunFailure: learning diverged; the policy is not finite any more.
        """
        core = self._free_core()
        observation = core.setting.spaces.to_flat(obs, "obs")
        unit = core.exploit(observation) if deterministic else core.explore(observation)
        return core.setting.spaces.to_action(unit)

    def observe(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> None:
        """Store one transition, without learning from it yet.

        Transitions usually follow one another. Where ``obs`` is not the previous ``next_obs``, as after a reset, a new
        stretch begins; each costs the buffer one more observation, so that many short ones let the oldest transitions
        leave early.

        Args:
            obs: where it began.
            action: the action that was carried out, in the action space's own units and within its bounds.
            reward: summed over the decision.
            next_obs: where it led, also where the episode ended there.
            terminated: whether that state's value is zero. A time limit, an operator or a safety stop that says nothing
                about the state does not terminate: it truncates.
            truncated: whether the episode ended there otherwise.

        Raises:
            UserError: a wrong shape, a number that is not finite, or an action out of bounds; nothing was stored.
        """
        core = self._free_core()
        core.store(core.check(obs, action, reward, next_obs, terminated, truncated))

    def update(self, n: int | None = None) -> UpdateMetrics | None:
        """Do ``n`` gradient updates in one call to the device.

        It may return before they are done; ``act`` waits for them. During the warm-up it does nothing, so that a loop
        need not count: like ``surefoot.train``, it begins once more than ``algorithm.warmup_transitions`` transitions
        have been observed.

        Args:
            n: ``algorithm.utd`` by default. Each new value is compiled when it is first met, which takes seconds.

        Returns:
            What the updates saw, or None during the warm-up.

        Raises:
            UserError: ``n`` is not a whole number from 1 to 2**20.
        """
        core, count = self._free_core(), self._count(n)
        return core.update(count) if core.agent_steps > core.setting.algorithm.warmup_transitions else None

    def compile(self, n: int | None = None) -> None:
        """Compile now what ``act``, ``observe`` and ``update(n)`` would compile when first called; changes nothing.

        Raises:
            UserError: ``n`` is not a whole number from 1 to 2**20.
        """
        self._free_core().compile(self._count(n))

    # ---------------------------------------------------------------- what comes out

    def policy(self) -> Policy:
        """Return the policy as it is now: NumPy alone, a copy that further updates do not change.

        Raises:
            RunFailure: learning diverged; the policy is not finite any more.
        """
        return self._free_core().policy()

    def save_policy(self, path: str | os.PathLike[str]) -> None:
        """Write the policy as a folder that ``surefoot.load_policy`` reads, replacing a policy that is there.

        Raises:
            UserError: the folder holds other files.
            RunFailure: the policy is not finite, or the disk refused.
        """
        core = self._free_core()
        save_policy(path, core.policy_spec(), core.policy_arrays())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that decides what happens next, replay buffer included, and the policy.

        The folder appears whole or not at all, and every file in it is checksummed. ``surefoot.load_policy`` reads it
        too. A saved agent that is there is replaced.

        Raises:
            UserError: the path is a file or a folder with other content.
            RunFailure: the policy is not finite, or the disk refused; what was there is as it was.
        """
        self._free_core().save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the agent that ``save`` wrote; it goes on as if it had never been away, on CPU bit for bit.

        Raises:
            UserError: there is none, it is damaged, or it does not fit into memory.
        """
        agent = cls.__new__(cls)
        agent._core, agent._lent = AgentCore.load(path), False
        return agent

    # ---------------------------------------------------------------- for AsyncLearner

    def lend(self) -> AgentCore:
        """Hand out what learns, and refuse every other use until ``take_back``.

        Raises:
            UserError: it is lent already.
        """
        core = self._free_core()
        self._lent = True
        return core

    def take_back(self) -> None:
        """Allow other use again."""
        self._lent = False

    def _free_core(self) -> AgentCore:
        if self._lent:
            raise UserError(
                "the agent belongs to its AsyncLearner until the with block ends: use the learner's methods"
            )
        return self._core

    def _count(self, n: int | None) -> int:
        return self.algorithm.utd if n is None else whole("n", n, 1, _MOST_UPDATES)
