"""Repeatability of episodes: after others, alongside other copies and in other processes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.monitored_env import CheckedStep, MonitoredEnv
from surefoot.tasks.registry import Task
from surefoot.tasks.vector import make_vector

_PROCESS_STEPS = 50
"""Steps compared between processes; differing simulations diverge much earlier."""


class Episodes(NamedTuple):
    """Episodes of consecutive seeds.

    Attributes:
        first: First observation of each episode, [O] float32.
        steps: Episode index and result of every step.
    """

    first: list[np.ndarray]
    steps: list[tuple[int, CheckedStep]]


def play(env: MonitoredEnv, seed: int, actions: np.ndarray) -> Episodes:
    """Play `actions` [T, A] in [-1, 1]; episode k has the seed `seed` + k.

    Raises:
        Unusable: The environment failed.
    """
    episodes = Episodes([], [])
    for _ in _steps(env, seed, actions, episodes):
        pass
    return episodes


def difference(one: Episodes, other: Episodes) -> str | None:
    """Describe the first difference between two sequences of episodes; None if they are bit-identical."""
    for episode, (left, right) in enumerate(zip(one.first, other.first, strict=False)):
        if not np.array_equal(left, right):
            return f"in the first observation of episode {episode}: {_first_entry(left, right)}"
    for number, ((episode, a), (_, b)) in enumerate(zip(one.steps, other.steps, strict=True), start=1):
        place = f"at step {number} (episode {episode})"
        if not np.array_equal(a.observation, b.observation):
            return f"{place}: {_first_entry(a.observation, b.observation)}"
        for name in ("reward", "terminated", "truncated"):
            if getattr(a, name) != getattr(b, name):
                return f"{place}: {name} is {getattr(a, name)}, then {getattr(b, name)}"
    return None


def check_repeatability(make: Callable[[], MonitoredEnv], seed: int, actions: np.ndarray, findings: Findings) -> bool:
    """Play the same seeds and actions in several ways; return whether the episodes were always equal.

    Raises:
        Unusable: The environment failed.
    """
    with _watch_global_generators(findings):
        env, other = make(), make()
        reference = play(env, seed, actions)
        again = play(other, seed, actions)
    if difference(reference, play(other, seed + 1000, actions)) is None:
        findings.add("seed-no-effect", f"seeds {seed} and {seed + 1000} agree in every bit of {len(actions)} steps")
    if not np.array_equal(reference.first[0], again.first[0]):
        findings.add("seed-ignored", f"seed {seed} in two copies: {_first_entry(reference.first[0], again.first[0])}")
        return False
    if found := difference(reference, again):
        findings.add("replay-differs", f"two copies differ {found}")
        return False
    if found := difference(reference, play(other, seed, actions)):
        findings.add("reset-incomplete", f"a copy that has played before differs from a fresh one {found}")
        return False
    interleaved = Episodes([], [])
    turns = _steps(env, seed, actions, interleaved), _steps(other, seed + 1000, actions, Episodes([], []))
    for _ in zip(*turns, strict=True):
        pass
    if found := difference(reference, interleaved):
        findings.add("shared-state", f"stepped alongside another copy, the same episodes differ {found}")
        return False
    end = next((number for number, (_, step) in enumerate(reference.steps) if step.ended), None)
    if end is not None:
        play(other, seed, actions[: end + 1])
        other.step_past_the_end(actions[0])
        if found := difference(reference, play(other, seed, actions)):
            findings.add("step-after-end", f"the episodes after it differ {found}")
    return True


def check_other_process(task: Task, seed: int, findings: Findings) -> None:
    """Compare an episode in this process with the same episode in a worker process."""
    episodes = []
    for num_workers in (0, 1):
        try:
            with make_vector(task, [seed], "train", action_repeat=1, num_workers=num_workers) as vector:
                rng = np.random.default_rng(seed)
                observations = [vector.reset([0])]
                for _ in range(_PROCESS_STEPS):
                    action = rng.uniform(-1.0, 1.0, (1, vector.action_size)).astype(np.float32)
                    step = vector.step(action)
                    observations.append(np.column_stack([step.next_observation, step.reward]))
                episodes.append(observations)
        except UserError as error:
            findings.add("not-sendable", str(error))
            return
        except EnvironmentFailure as error:
            findings.add("raises", f"{'in a worker process: ' if num_workers else ''}{error.detail}")
            return
    for number, (left, right) in enumerate(zip(*episodes, strict=True)):
        if not np.array_equal(left, right):
            place = f"at step {number}" if number else "in the first observation"
            findings.add("process-differs", f"{place}: {_first_entry(left[0], right[0])}")
            return


def _steps(env: MonitoredEnv, seed: int, actions: np.ndarray, episodes: Episodes) -> Iterator[None]:
    ended = True
    for action in actions:
        if ended:
            episodes.first.append(env.reset(seed + len(episodes.first)))
        step = env.step(action)
        episodes.steps.append((len(episodes.first) - 1, step))
        ended = step.ended
        yield


@contextlib.contextmanager
def _watch_global_generators(findings: Findings) -> Iterator[None]:
    """Add a finding if the block uses the global random generators of NumPy or Python."""
    before = _numpy_state(), random.getstate()
    yield
    for name, was, now in zip(
        ("np.random", "Python's random"), before, (_numpy_state(), random.getstate()), strict=True
    ):
        if was != now:
            findings.add("global-random", f"{name} was drawn from or seeded")


def _numpy_state() -> tuple[bytes, int, int, float]:
    _, keys, position, has_normal, normal = np.random.get_state(legacy=True)  # noqa: NPY002
    return np.asarray(keys).tobytes(), position, has_normal, normal


def _first_entry(left: np.ndarray, right: np.ndarray) -> str:
    """Describe the first entry in which two observations differ, and the largest difference."""
    index = int(np.argmax(left != right))
    largest = float(np.max(np.abs(left.astype(np.float64) - right)))
    return f"entry {index} is {left[index]:.9g}, then {right[index]:.9g} (largest difference {largest:.2g})"
