"""Learning concurrent with a real-time control loop.

The control thread acts with a NumPy snapshot of the policy and puts transitions into a queue. The learning thread
stores them, updates, and publishes a new snapshot by assigning a reference, so neither thread waits for a lock.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import numpy as np

from surefoot.agent.agent import Agent
from surefoot.agent.core import Observed
from surefoot.agent.priority import RealtimePriority
from surefoot.agent.setting import update_count
from surefoot.algorithms import TanhGaussian
from surefoot.errors import RunFailure, UserError
from surefoot.misplaced import explains_keywords
from surefoot.policy import Policy

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class AsyncStats:
    """Statistics of asynchronous learning since its with block was entered.

    Staleness is measured at every decision since the first policy was published.

    Attributes:
        agent_steps: Number of transitions observed.
        waiting: Number of these that are still queued.
        grad_steps: Number of gradient updates.
        utd: Gradient updates per transition observed after the warm-up; 0 before.
        handovers: Number of policies published to the control thread.
        stale_agent_steps: Mean number of observed transitions that the acting policy was not trained on.
        max_stale_agent_steps: Maximum of the same.
        stale_seconds: Mean time since the acting policy's last gradient update.
        max_stale_seconds: Maximum of the same.
        stale_grad_steps: Mean number of updates, done or in progress, that the acting policy lacks.
        max_stale_grad_steps: Maximum of the same.
        realtime: Whether real-time priority was requested and granted.
    """

    agent_steps: int
    waiting: int
    grad_steps: int
    utd: float
    handovers: int
    stale_agent_steps: float
    max_stale_agent_steps: int
    stale_seconds: float
    max_stale_seconds: float
    stale_grad_steps: float
    max_stale_grad_steps: int
    realtime: bool


class _Snapshot(NamedTuple):
    """An immutable policy, and the counts at its creation."""

    policy: Policy
    number: int
    agent_steps: int
    """Transitions stored before its last updates."""
    grad_steps: int
    seconds: float
    """Monotonic time at the end of its last update."""


class _Request:
    """Work for the learning thread.

    Attributes:
        done: Set once it has ended.
        result: What it returned.
        error: What it raised, for the thread that waits.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.done = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None
        self._work = work

    def run(self) -> None:
        """Do the work."""
        try:
            self.result = self._work()
        except Exception as error:  # raised in the thread that waits; learning goes on
            self.error = error
        self.done.set()


class AsyncLearner:
    """Context manager that updates an agent in a thread while the control loop acts and observes.

    The learning thread does ``algorithm.utd`` gradient updates per transition observed after the warm-up, in calls of
    ``publish_every``. On a machine that is too slow for this, it does fewer; ``stats().utd`` is the ratio reached.
    Within the block, only the learner may use the agent.

    Enter and leave the block in the control thread. Entering compiles, which takes seconds. Leaving waits for the
    current call and stores all queued transitions, unless learning failed; the agent can then be used itself, or in
    another block.

    Args:
        agent: Agent that acts and learns.
        publish_every: Gradient updates per device call, each of which publishes a new policy; ``algorithm.utd`` by
            default, rounded up.
        realtime: Request real-time priority (Linux, with the required permission) for the control thread within the
            block, so that neither the learning thread nor other processes delay it. Only for loops that sleep between
            steps: any other loop would occupy a core. ``stats().realtime`` is whether it was granted.

    Raises:
        UserError: ``publish_every`` is not a whole number from 1 to 2**20, or the algorithm does not explore with fresh
            noise of the policy.
    """

    @explains_keywords
    def __init__(self, agent: Agent, publish_every: int | None = None, realtime: bool = False) -> None:
        algorithm = agent.algorithm
        fresh_noise = algorithm.optimism is None and algorithm.held_noise is None
        if not fresh_noise or not isinstance(algorithm.policy, TanhGaussian):
            raise UserError(
                f"AsyncLearner explores with fresh noise of the policy, but {algorithm.name} explores by optimism, "
                "holds its noise, or adds noise to a deterministic policy: use Agent in your own loop"
            )
        self._agent = agent
        self._request_realtime, self._priority = realtime, RealtimePriority()
        every = math.ceil(algorithm.utd) if publish_every is None else publish_every
        self._count = update_count("publish_every", every, algorithm)
        self._thread: threading.Thread | None = None
        """Set while the block is open."""
        self._entered = False
        self._failure: BaseException | None = None
        self._stopping = False

    def __enter__(self) -> Self:
        """Compile, take the first snapshot of the policy, and start the learning thread."""
        if self._thread is not None:
            raise UserError("this AsyncLearner is already open")
        self._core = core = self._agent.acquire_core()
        # A new one: that of a block whose learning failed holds transitions and requests nobody waits for.
        self._queue: queue.SimpleQueue[Observed | _Request | None] = queue.SimpleQueue()
        # One for each thread: warm-up actions, and the noise of snapshots.
        self._rng, self._noise = (np.random.default_rng((core.setting.seed, core.agent_steps, i)) for i in range(2))
        self._first_agent_steps = self._observed = core.agent_steps
        self._first_grad_steps = self._started_grad_steps = core.grad_steps
        self._stale, self._max_stale, self._decisions = np.zeros(3), np.zeros(3), 0
        self._stopping, self._failure = False, None
        thread = threading.Thread(target=self._run, name="surefoot-learner", daemon=True)
        try:
            core.compile(self._count)
            self._snapshot = self._make_snapshot(0, core.agent_steps)
            thread.start()
        except BaseException:
            self._agent.release_core()
            raise
        self._thread, self._entered = thread, True
        if self._request_realtime:
            self._priority.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop learning, store queued transitions, and report a failure of the learning thread."""
        assert self._thread is not None
        try:
            self._priority.release()
        finally:  # the agent is released even if the priority cannot be restored
            self._stopping = True
            self._queue.put(None)  # wakes a thread that waits for the next transition
            try:
                _join(self._thread)
            finally:
                self._thread = None
                self._agent.release_core()
        if error is None:
            self._raise_failure()

    # ---------------------------------------------------------------- the control thread

    def act(self, obs: Any, deterministic: bool = False) -> np.ndarray:
        """Choose an action as ``Agent.act`` does, without waiting for updates.

        Args:
            obs: One observation in the shape of the observation space.
            deterministic: Return the policy's mode instead of an exploring action.

        Returns:
            Action in the action space's own units, shape and dtype.

        Raises:
            UserError: The observation has a wrong shape or wrong keys, or is not finite.
            RunFailure: The learning thread failed.
        """
        self._check_open()
        snapshot, spaces = self._snapshot, self._core.setting.spaces
        observation = spaces.to_flat(obs, "obs")
        if not deterministic and self._observed < self._warmup:
            return spaces.to_action(self._rng.uniform(-1.0, 1.0, spaces.described.action.size).astype(np.float32))
        if snapshot.number:
            self._record_staleness(snapshot)
        return spaces.to_action(snapshot.policy.unit_action(observation[None], deterministic)[0])

    def observe(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> None:
        """Queue one transition for the learning thread; the arguments are those of ``Agent.observe``.

        Raises:
            UserError: A shape is wrong, a number is not finite, or an action is out of bounds; nothing was queued.
            RunFailure: The learning thread failed.
        """
        self._check_open()
        observed = self._core.check(obs, action, reward, next_obs, terminated, truncated)
        self._observed += 1  # before the learning thread can count it as stored
        self._queue.put(observed)

    def policy(self) -> Policy:
        """Return a NumPy copy of the current policy; see ``save``.

        Raises:
            RunFailure: The learning thread failed.
        """
        return self._between_updates(lambda: self._core.policy())

    def save_policy(self, path: str | os.PathLike[str]) -> None:
        """Write the policy as ``Agent.save_policy`` does; see ``save``.

        Args:
            path: New or empty folder, or one with a policy.

        Raises:
            UserError: The folder holds other files.
            RunFailure: The policy is not finite or cannot be written, or the learning thread failed.
        """
        self._between_updates(lambda: self._core.save_policy(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the complete state as ``Agent.save`` does, with every transition observed so far.

        The learning thread writes it between two calls to the device, and this thread waits: save between episodes.

        Args:
            path: New or empty folder, or one with a saved agent.

        Raises:
            UserError: The path is a file or a folder with other content.
            RunFailure: The policy is not finite, or cannot be written; existing content is unchanged. Or the learning
                thread failed.
        """
        self._between_updates(lambda: self._core.save(path))

    def __repr__(self) -> str:
        return f"AsyncLearner({self._agent!r}, publish_every={self._count}, open={self._thread is not None})"

    def stats(self) -> AsyncStats:
        """Return the statistics of the current block or the last one. Safe in any thread.

        Raises:
            UserError: No block was entered yet.
        """
        if not self._entered:
            raise UserError("an AsyncLearner has statistics once its `with` block has been entered")
        stored = self._core.agent_steps  # before the number observed, which is never smaller
        after_warmup = self._observed - max(self._first_agent_steps, self._warmup)
        grad_steps = self._core.grad_steps - self._first_grad_steps
        mean = self._stale / max(self._decisions, 1)
        return AsyncStats(
            agent_steps=self._observed - self._first_agent_steps,
            waiting=self._observed - stored,
            grad_steps=grad_steps,
            utd=grad_steps / after_warmup if after_warmup > 0 else 0.0,
            handovers=self._snapshot.number,
            stale_agent_steps=float(mean[0]),
            max_stale_agent_steps=int(self._max_stale[0]),
            stale_seconds=float(mean[1]),
            max_stale_seconds=float(self._max_stale[1]),
            stale_grad_steps=float(mean[2]),
            max_stale_grad_steps=int(self._max_stale[2]),
            realtime=self._priority.granted,
        )

    def _record_staleness(self, snapshot: _Snapshot) -> None:
        now = (
            self._observed - snapshot.agent_steps,
            time.monotonic() - snapshot.seconds,
            self._started_grad_steps - snapshot.grad_steps,
        )
        self._stale += now
        self._max_stale = np.maximum(self._max_stale, now)
        self._decisions += 1

    def _between_updates[T](self, work: Callable[[], T]) -> T:
        """Have the learning thread do something once it has stored all queued transitions; return the result."""
        thread = self._check_open()
        request = _Request(work)
        self._queue.put(request)
        while not request.done.wait(_POLL_SECONDS):
            if not thread.is_alive() and not request.done.is_set():
                self._raise_failure()
                raise RunFailure("the learning thread has ended: the AsyncLearner was closed in another thread")
        if request.error is not None:
            raise request.error
        return cast(T, request.result)

    def _check_open(self) -> threading.Thread:
        if self._thread is None:
            raise UserError("an AsyncLearner can be used only inside its `with` block; outside of it, use the agent")
        self._raise_failure()
        return self._thread

    def _raise_failure(self) -> None:
        if self._failure is not None:
            reason = " ".join(f"{type(self._failure).__name__}: {self._failure}".split())
            raise RunFailure(f"the learning thread failed: {reason}") from self._failure

    # ---------------------------------------------------------------- the learning thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                due = self._due()
                self._store_queued(wait=due < self._count)
                if self._due() >= self._count and not self._stopping:
                    self._learn()
            self._store_queued(wait=False)
        except BaseException as error:  # raised again in the control thread
            self._failure = error

    def _due(self) -> int:
        """Return the updates still due for the transitions stored since the block was entered."""
        after_warmup = self._core.agent_steps - max(self._first_agent_steps, self._warmup)
        done = self._core.grad_steps - self._first_grad_steps
        return math.floor(self._core.setting.algorithm.utd * max(0, after_warmup)) - done

    @property
    def _warmup(self) -> int:
        return self._core.setting.algorithm.warmup_transitions

    def _store_queued(self, wait: bool) -> None:
        """Store all queued transitions, waiting for the first one if requested."""
        while True:
            try:
                observed = self._queue.get(block=wait)
            except queue.Empty:
                return
            if isinstance(observed, _Request):
                observed.run()
            elif observed is not None:
                self._core.store(observed)
            wait = False

    def _learn(self) -> None:
        core, agent_steps = self._core, self._core.agent_steps
        self._started_grad_steps = core.grad_steps + self._count
        core.update(self._count)
        self._snapshot = self._make_snapshot(self._snapshot.number + 1, agent_steps)

    def _make_snapshot(self, number: int, agent_steps: int) -> _Snapshot:
        policy = self._core.policy()  # waits for the updates
        # Every copy of a policy would repeat the same noise.
        policy.reseed(int(self._noise.integers(2**31)))
        return _Snapshot(policy, number, agent_steps, self._core.grad_steps, time.monotonic())


def _join(thread: threading.Thread) -> None:
    """Wait for the end of a thread, also through interrupts, which are raised afterwards.

    Until then the thread uses the agent.
    """
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            thread.join()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
