"""Learning beside a control loop that must not wait.

The control thread acts with plain NumPy on a snapshot of the policy and puts what happened into a queue; a thread of
its own stores, learns, and exchanges the snapshot for a newer one by assigning a reference. Neither ever holds a lock
that the other needs.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from surefoot.agent.agent import Agent
from surefoot.agent.core import Observed
from surefoot.agent.priority import RealtimePriority
from surefoot.agent.setting import whole
from surefoot.algorithms import TanhGaussian
from surefoot.errors import RunFailure, UserError
from surefoot.policy import Policy


@dataclass(frozen=True)
class AsyncStats:
    """What asynchronous learning has come to since its block was entered.

    Staleness is that of the policies that decided, from the first handover on.

    Attributes:
        agent_steps: transitions observed.
        waiting: of those, transitions the learning thread has not taken in yet.
        grad_steps: gradient updates done.
        utd: gradient updates per transition observed after the warm-up; 0 before.
        handovers: newer policies that the control thread was given.
        stale_agent_steps: mean over decisions of the transitions observed that their policy knew nothing of.
        max_stale_agent_steps: at worst.
        stale_seconds: mean time since the policy's last gradient update was done.
        max_stale_seconds: at worst.
        stale_grad_steps: mean of the updates that were done or under way and not in the policy.
        max_stale_grad_steps: at worst.
        realtime: whether real-time priority was asked for and granted.
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
    """A policy that is never written to again, and when it was made."""

    policy: Policy
    number: int
    agent_steps: int
    """Transitions in the buffer when its last updates began."""
    grad_steps: int
    seconds: float
    """On the monotonic clock, when its last update was done."""


class AsyncLearner:
    """Learn in a thread of its own while your control loop acts and observes, in a ``with`` block.

    The learning thread does ``algorithm.utd`` gradient updates per transition observed after the warm-up, in calls of
    ``publish_every``, and waits when it has done its share; where the machine is too slow for that, it does what it can
    and ``stats().utd`` says how much. Within the block the agent belongs to the learner.

    Enter and leave it in the control thread. Entering compiles everything first, which takes seconds. Leaving waits for
    the call under way and stores what is still in the queue, so nothing observed is lost; the agent can then be saved,
    and entered again.

    Args:
        agent: what acts and learns.
        publish_every: gradient updates per call to the device, after each of which the policy is handed over;
            ``algorithm.utd`` by default.
        realtime: ask the operating system (Linux, given the right) to run the control thread before all others within
            the block, so that neither the learning thread nor other processes delay it. Only for a loop that sleeps:
            one that does not would keep a core to itself. ``stats().realtime`` says whether it was granted.

    Raises:
        UserError: ``publish_every`` is below 1.
    """

    def __init__(self, agent: Agent, publish_every: int | None = None, realtime: bool = False) -> None:
        algorithm = agent.algorithm
        if algorithm.optimism is not None or not isinstance(algorithm.policy, TanhGaussian):
            raise UserError(
                f"AsyncLearner explores with the policy's own randomness, and {algorithm.name} explores otherwise "
                "(by optimism, or by noise on a deterministic policy): use Agent in your own loop"
            )
        self._agent = agent
        self._wants_realtime, self._priority = realtime, RealtimePriority()
        self._count = agent.algorithm.utd if publish_every is None else whole("publish_every", publish_every, 1, 2**20)
        self._queue: queue.SimpleQueue[Observed | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        """While the block is open."""
        self._failure: BaseException | None = None
        self._stopping = False
        self._stale, self._max_stale, self._decisions = np.zeros(3), np.zeros(3), 0

    def __enter__(self) -> Self:
        """Compile, make the first snapshot of the policy, start the learning thread."""
        if self._thread is not None:
            raise UserError("this AsyncLearner is open already")
        self._agent.compile(self._count)
        self._core = core = self._agent.lend()
        # One for each thread: the warm-up's actions, and the noise of every snapshot.
        self._rng, self._noise = (np.random.default_rng((core.setting.seed, core.agent_steps, i)) for i in range(2))
        self._first_agent_steps = self._observed = core.agent_steps
        self._first_grad_steps = self._begun_grad_steps = core.grad_steps
        self._stopping, self._failure = False, None
        thread = threading.Thread(target=self._run, name="surefoot-learner", daemon=True)
        try:
            self._snapshot = self._make_snapshot(0, core.agent_steps)
            thread.start()
        except BaseException:
            self._agent.take_back()
            raise
        self._thread = thread
        if self._wants_realtime:
            self._priority.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop learning, take in what was observed, and raise what the learning thread raised."""
        assert self._thread is not None
        try:
            self._priority.release()
        finally:  # the agent comes back whatever the operating system says
            self._stopping = True
            self._queue.put(None)  # wakes a thread that waits for the next transition
            self._thread.join()
            self._thread = None
            self._agent.take_back()
        if error is None:
            self._raise_failure()

    # ---------------------------------------------------------------- the control thread

    def act(self, obs: Any, deterministic: bool = False) -> np.ndarray:
        """Choose an action, as ``Agent.act`` does, but without waiting for the learner.

        Raises:
            UserError: the observation has another shape or other keys, or is not finite.
            RunFailure: the learning thread failed.
        """
        self._check_open()
        snapshot, spaces = self._snapshot, self._core.setting.spaces
        observation = spaces.to_flat(obs, "obs")
        if not deterministic and self._observed < self._warmup:
            return spaces.to_action(self._rng.uniform(-1.0, 1.0, len(spaces.action_low)).astype(np.float32))
        if snapshot.number:
            self._note_staleness(snapshot)
        return spaces.from_flat(snapshot.policy(observation, deterministic))

    def observe(self, obs: Any, action: Any, reward: float, next_obs: Any, terminated: bool, truncated: bool) -> None:
        """Hand one transition to the learning thread; takes what ``Agent.observe`` takes.

        Raises:
            UserError: a wrong shape, a number that is not finite, or an action out of bounds; nothing was handed over.
            RunFailure: the learning thread failed.
        """
        self._check_open()
        self._queue.put(self._core.check(obs, action, reward, next_obs, terminated, truncated))
        self._observed += 1

    def stats(self) -> AsyncStats:
        """Return the counts so far; any thread may ask."""
        after_warmup = self._observed - max(self._first_agent_steps, self._warmup)
        grad_steps = self._core.grad_steps - self._first_grad_steps
        mean = self._stale / max(self._decisions, 1)
        return AsyncStats(
            agent_steps=self._observed - self._first_agent_steps,
            waiting=self._observed - self._core.agent_steps,
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

    def _note_staleness(self, snapshot: _Snapshot) -> None:
        now = (
            self._observed - snapshot.agent_steps,
            time.monotonic() - snapshot.seconds,
            self._begun_grad_steps - snapshot.grad_steps,
        )
        self._stale += now
        self._max_stale = np.maximum(self._max_stale, now)
        self._decisions += 1

    def _check_open(self) -> None:
        if self._thread is None:
            raise UserError("an AsyncLearner acts and observes inside its `with` block only")
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            reason = " ".join(f"{type(self._failure).__name__}: {self._failure}".split())
            raise RunFailure(f"the learning thread failed: {reason}") from self._failure

    # ---------------------------------------------------------------- the learning thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                owed = self._owed()
                self._take_in(wait=owed < self._count)
                if self._owed() >= self._count and not self._stopping:
                    self._learn()
            self._take_in(wait=False)
        except BaseException as error:  # whatever it is, the control thread must hear of it
            self._failure = error

    def _owed(self) -> int:
        """Return the updates that the transitions stored since the block was entered ask for and have not had."""
        learned_from = self._core.agent_steps - max(self._first_agent_steps, self._warmup)
        done = self._core.grad_steps - self._first_grad_steps
        return self._core.setting.algorithm.utd * max(0, learned_from) - done

    @property
    def _warmup(self) -> int:
        return self._core.setting.algorithm.warmup_transitions

    def _take_in(self, wait: bool) -> None:
        """Store what is in the queue; where there is nothing better to do, wait for something to be there."""
        while True:
            try:
                seen = self._queue.get(block=wait)
            except queue.Empty:
                return
            if seen is not None:
                self._core.store(seen)
            wait = False

    def _learn(self) -> None:
        core, agent_steps = self._core, self._core.agent_steps
        self._begun_grad_steps = core.grad_steps + self._count
        core.update(self._count)
        self._snapshot = self._make_snapshot(self._snapshot.number + 1, agent_steps)

    def _make_snapshot(self, number: int, agent_steps: int) -> _Snapshot:
        policy = self._core.policy()  # waits for the updates
        # A policy's own noise starts anew with every copy.
        policy.reseed(int(self._noise.integers(2**31)))
        return _Snapshot(policy, number, agent_steps, self._core.grad_steps, time.monotonic())
