"""Learning concurrent with a control loop: non-blocking actions, complete storage, and reported failures."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.agent.core import AgentCore
from surefoot.algorithms import HeldNoise
from tests.agent.support import ACTION, Robot, agent
from tests.training.small import small


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "condition not met within 30 seconds"
        time.sleep(0.002)


class Actor:
    """The part of a learner that Robot uses."""

    def __init__(self, learner: surefoot.AsyncLearner) -> None:
        self.act, self.observe = learner.act, learner.observe


def test_update_ratio_and_published_policy() -> None:
    made, robot = agent(), Robot()
    with surefoot.AsyncLearner(made) as learner:
        first = learner.act(np.ones(3), deterministic=True)
        robot.drive(Actor(learner), 40, update=False)
        wait_for(lambda: learner.stats().grad_steps == 40)
        assert np.any(learner.act(np.ones(3), deterministic=True) != first)
        stats = learner.stats()
    assert (stats.agent_steps, stats.waiting, stats.utd) == (40, 0, 2.0)
    assert 1 <= stats.handovers <= 20
    assert (made.agent_steps, made.grad_steps) == (40, 40)
    time.sleep(0.05)
    assert made.grad_steps == 40  # the thread has ended
    np.testing.assert_array_equal(made.policy()(np.ones(3)), learner._snapshot.policy(np.ones(3)))


def test_agent_continues_across_blocks() -> None:
    made, robot = agent(), Robot()
    robot.drive(made, 25)
    with surefoot.AsyncLearner(made, publish_every=4) as learner:
        robot.drive(Actor(learner), 7, update=False)
        wait_for(lambda: learner.stats().grad_steps == 12)  # 7 x 2 are due, in calls of 4
        assert learner.stats().utd == pytest.approx(12 / 7)
        learner.act(robot.obs)
        assert learner.stats().max_stale_seconds > 0.0
    robot.drive(made, 1)
    assert (made.agent_steps, made.grad_steps) == (33, 10 + 12 + 2)
    with learner:
        assert learner.stats().max_stale_seconds == 0.0, "statistics are those of the block"


def test_act_does_not_wait_for_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The learning thread hangs in an update; the control thread acts, and staleness is measured."""
    started, proceed, update = threading.Event(), threading.Event(), AgentCore.update

    def hang(core: AgentCore, count: int) -> Any:
        if core.agent_steps > 22:
            started.set()
            assert proceed.wait(30)
        return update(core, count)

    made, robot = agent(), Robot()
    robot.drive(made, 21)
    monkeypatch.setattr(AgentCore, "update", hang)
    with surefoot.AsyncLearner(made) as learner:
        robot.drive(Actor(learner), 1, update=False)
        wait_for(lambda: learner.stats().handovers == 1)
        robot.drive(Actor(learner), 1, update=False)
        assert started.wait(30)
        robot.drive(Actor(learner), 10, update=False)
        stats = learner.stats()
        assert (stats.agent_steps, stats.waiting, stats.handovers, stats.grad_steps) == (12, 10, 1, 2)
        # The policy was trained on 22 transitions; the last decision was made at 32.
        assert stats.max_stale_agent_steps == 10
        assert 0.0 < stats.stale_agent_steps < 10.0
        assert stats.max_stale_grad_steps == 2
        assert 0.0 < stats.stale_seconds <= stats.max_stale_seconds
        proceed.set()
        wait_for(lambda: learner.stats().grad_steps == 24)
    assert made.agent_steps == 33


def test_saving_within_the_block_stores_every_observed_transition(tmp_path: Path) -> None:
    made, robot = agent(), Robot()
    with surefoot.AsyncLearner(made) as learner:
        robot.drive(Actor(learner), 30, update=False)
        learner.save(tmp_path / "agent")
        wait_for(lambda: learner.stats().grad_steps == 20)
        learner.save_policy(tmp_path / "policy")
        policy = learner.policy()
        robot.drive(Actor(learner), 5, update=False)  # learning goes on
        wait_for(lambda: learner.stats().grad_steps == 30)
    saved = surefoot.Agent.load(tmp_path / "agent")
    assert saved.agent_steps == 30
    assert saved.grad_steps <= 20
    obs = np.ones(3)
    np.testing.assert_array_equal(surefoot.load_policy(tmp_path / "policy")(obs), policy(obs))
    assert np.any(policy(obs) != made.policy()(obs))


def test_refused_saving_reaches_the_caller_and_learning_goes_on(tmp_path: Path) -> None:
    made, robot = agent(), Robot()
    (tmp_path / "notes.txt").touch()
    with surefoot.AsyncLearner(made) as learner:
        for save in (learner.save, learner.save_policy):
            with pytest.raises(surefoot.UserError, match="other files"):
                save(tmp_path)
        robot.drive(Actor(learner), 25, update=False)
        wait_for(lambda: learner.stats().grad_steps == 10)
    for call in (lambda: learner.save(tmp_path / "new"), lambda: learner.save_policy(tmp_path / "new"), learner.policy):
        with pytest.raises(surefoot.UserError, match="outside of it, use the agent"):
            call()


def test_request_to_a_failed_learning_thread_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The request is queued before the thread fails, and never reached."""

    def fail(core: AgentCore, observed: Any) -> None:
        time.sleep(0.2)
        raise ValueError("out of memory")

    made, robot = agent(), Robot()
    monkeypatch.setattr(AgentCore, "store", fail)
    message = "the learning thread failed: ValueError: out of memory"
    learner = surefoot.AsyncLearner(made)
    learner.__enter__()
    learner.observe(robot.obs, [0.0, 0.5], 1.0, robot.obs, False, False)
    for call in (lambda: learner.save(tmp_path / "agent"), learner.policy, lambda: learner.__exit__(None, None, None)):
        with pytest.raises(surefoot.RunFailure, match=message):
            call()
    monkeypatch.undo()
    with learner:  # without what the failed block left behind
        wait_for(lambda: learner.stats().waiting == 0)
        learner.policy()
    assert made.agent_steps == 0
    assert not (tmp_path / "agent").exists()


def test_leaving_the_block_stores_queued_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    made, robot, store = agent(), Robot(), AgentCore.store

    def slow(core: AgentCore, observed: Any) -> None:
        time.sleep(0.01)
        store(core, observed)

    monkeypatch.setattr(AgentCore, "store", slow)
    with surefoot.AsyncLearner(made) as learner:
        robot.drive(Actor(learner), 15, update=False)
    assert made.agent_steps == 15


def test_failure_of_the_learning_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(core: AgentCore, count: int) -> None:
        raise ValueError("out of\nmemory")

    made, robot = agent(), Robot()
    robot.drive(made, 21)
    monkeypatch.setattr(AgentCore, "update", fail)
    message = "the learning thread failed: ValueError: out of memory"
    learner = surefoot.AsyncLearner(made)
    learner.__enter__()
    learner.observe(robot.obs, [0.0, 0.5], 1.0, robot.obs, False, False)
    wait_for(lambda: learner._failure is not None)
    for call in (
        lambda: learner.act(robot.obs),
        lambda: learner.observe(robot.obs, [0, 0.5], 1, robot.obs, True, True),
        lambda: learner.__exit__(None, None, None),
    ):
        with pytest.raises(surefoot.RunFailure, match=message):
            call()
    assert made.agent_steps == 22  # usable again
    assert made.act(robot.obs).shape == (2,)


def test_exception_in_the_block_propagates(monkeypatch: pytest.MonkeyPatch) -> None:
    made = agent()
    with pytest.raises(ZeroDivisionError), surefoot.AsyncLearner(made):
        raise ZeroDivisionError
    made.update()


def test_agent_is_unusable_within_the_block() -> None:
    made = agent()
    with surefoot.AsyncLearner(made):
        named = []
        for call in (
            lambda: made.act(np.zeros(3)),
            lambda: made.observe(np.zeros(3), ACTION.low, 0.0, np.zeros(3), False, False),
            lambda: made.save("x"),
            lambda: made.save_policy("x"),
            made.policy,
            made.update,
            made.compile,
        ):
            with pytest.raises(surefoot.UserError, match="in use by an AsyncLearner: ") as error:
                call()
            named += re.findall(r"call the learner's (\w+)$", str(error.value))
        assert named == ["act", "observe", "save", "save_policy", "policy"]
        assert [name for name in named if not callable(getattr(surefoot.AsyncLearner, name, None))] == []
        message = "in use by an AsyncLearner: leave its with block first"
        with pytest.raises(surefoot.UserError, match=message), surefoot.AsyncLearner(made):
            pass


def test_warmup_is_uniform_and_noise_does_not_repeat() -> None:
    made = agent()
    with surefoot.AsyncLearner(made) as learner:
        drawn = np.array([learner.act(np.zeros(3)) for _ in range(300)])
        unit = (drawn - (ACTION.high + ACTION.low) / 2) / ((ACTION.high - ACTION.low) / 2)
        np.testing.assert_allclose(unit.std(axis=0), 1 / np.sqrt(3), atol=0.06)
        noises = []
        for number in range(3):
            learner._snapshot = learner._make_snapshot(number, 0)  # the same parameters each time
            noises += [tuple(learner._snapshot.policy(np.zeros(3), deterministic=False)) for _ in range(2)]
    assert len(set(noises)) == 6


def test_realtime_priority_applies_only_to_the_control_thread_within_the_block() -> None:
    made, before = agent(), os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    with surefoot.AsyncLearner(made, realtime=True) as learner:
        granted = learner.stats().realtime
        policies = {thread.native_id: os.sched_getscheduler(thread.native_id) for thread in threading.enumerate()}
        own = policies.pop(threading.get_native_id()) & ~os.SCHED_RESET_ON_FORK
        assert own == (os.SCHED_FIFO if granted else before)
        assert set(policies.values()) == {os.SCHED_OTHER}
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == before


def test_denied_realtime_priority_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", deny)
    with surefoot.AsyncLearner(agent(), realtime=True) as learner:
        assert not learner.stats().realtime


def test_invalid_values_are_rejected() -> None:
    made = agent()
    with surefoot.AsyncLearner(made) as learner:
        with pytest.raises(surefoot.UserError, match=r"obs has shape \(4,\), expected \(3,\)"):
            learner.act(np.zeros(4))
        with pytest.raises(surefoot.UserError, match="reward must be"):
            learner.observe(np.zeros(3), [0, 0.5], np.nan, np.zeros(3), False, False)
    assert made.agent_steps == 0
    with pytest.raises(surefoot.UserError, match="publish_every must be between 1 and"):
        surefoot.AsyncLearner(made, publish_every=0)


def test_act_and_observe_outside_the_block_are_errors() -> None:
    made = agent()
    learner = surefoot.AsyncLearner(made)
    with pytest.raises(surefoot.UserError, match="once its `with` block has been entered"):
        learner.stats()
    for _ in range(2):
        with pytest.raises(surefoot.UserError, match="only inside its `with` block"):
            learner.act(np.ones(3))
        with pytest.raises(surefoot.UserError, match="only inside its `with` block"):
            learner.observe(np.ones(3), ACTION.low, 0.0, np.ones(3), False, False)
        with learner, pytest.raises(surefoot.UserError, match="already open"):
            learner.__enter__()
    made.act(np.ones(3))  # released


def test_policy_without_own_noise_is_rejected() -> None:
    held = small(surefoot.crossq_wn(utd=1), warmup_transitions=20, name="held", held_noise=HeldNoise())
    for algorithm in (small(surefoot.td3_wn(utd=1), warmup_transitions=20), held):
        with pytest.raises(surefoot.UserError, match=f"{algorithm.name} explores by optimism, holds"):
            surefoot.AsyncLearner(agent(algorithm=algorithm))


def test_agent_is_released_if_the_priority_cannot_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_: Any) -> None:
        raise OSError(22, "Invalid argument")

    made = agent()
    monkeypatch.setattr("surefoot.agent.priority.RealtimePriority.release", deny)
    with pytest.raises(OSError, match="Invalid argument"), surefoot.AsyncLearner(made):
        pass
    made.update()
    assert "surefoot-learner" not in [thread.name for thread in threading.enumerate()]


def test_agent_is_released_after_an_interrupt_while_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    made = agent()
    join, interrupts = threading.Thread.join, [KeyboardInterrupt, KeyboardInterrupt]

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name == "surefoot-learner" and interrupts:
            raise interrupts.pop()
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt), surefoot.AsyncLearner(made):
        pass
    made.update()
    assert "surefoot-learner" not in [thread.name for thread in threading.enumerate()]


def test_higher_priority_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    from surefoot.agent.priority import RealtimePriority

    asked: list[Any] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_RR | os.SCHED_RESET_ON_FORK)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: asked.append(arguments))
    priority = RealtimePriority()
    priority.acquire()
    priority.release()
    assert priority.granted
    assert asked == []
