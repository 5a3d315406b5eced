"""Repeatability of episodes: in other copies and after other episodes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.generators import OwnGenerators, watch_generators
from surefoot.tasks.check.monitored_env import CheckedStep, MonitoredEnv, Unusable

OTHER_SEED = 1000
"""Distance of the seeds of episodes that should differ."""


class Episodes(NamedTuple):
    """Episodes of consecutive seeds.

    Attributes:
        first: First observation of each episode, [O] float32.
        steps: Episode index and result of every step.
    """

    first: list[np.ndarray]
    steps: list[tuple[int, CheckedStep]]


class Replay(NamedTuple):
    """How episodes repeat.

    Attributes:
        repeats: Whether fresh copies play equal episodes from equal seeds and actions.
        pinned: Whether that requires equal states of the global random generators.
        outlasts_reset: Whether a copy that has played before repeats them too.
    """

    repeats: bool = False
    pinned: bool = False
    outlasts_reset: bool = False


def play(env: MonitoredEnv, seed: int, actions: np.ndarray, *, pinned: bool = False) -> Episodes:
    """Play `actions` [T, A] in [-1, 1]; episode k has the seed `seed` + k, and a step that fails ends its episode.

    Args:
        env: Copy of the environment.
        seed: Seed of the first episode.
        actions: The actions.
        pinned: Whether the global random generators start from a state that follows from the seed.

    Raises:
        Unusable: A reset failed.
    """
    episodes = Episodes([], [])
    for _ in steps_of(env, seed, actions, episodes, pinned=pinned):
        pass
    return episodes


def steps_of(
    env: MonitoredEnv, seed: int, actions: np.ndarray, episodes: Episodes, *, pinned: bool = False
) -> Iterator[None]:
    """Play as `play` does, adding to `episodes`, and pause after every step."""
    generators = OwnGenerators(seed) if pinned else contextlib.nullcontext()
    ended = True
    for action in actions:
        with generators:
            if ended:
                episodes.first.append(env.reset(seed + len(episodes.first)))
            step = env.step(action)
        episodes.steps.append((len(episodes.first) - 1, step))
        ended = step.ended
        yield


def difference(one: Episodes, other: Episodes) -> str | None:
    """Describe the first difference between two sequences of episodes; None if they are bit-identical."""
    for episode, (left, right) in enumerate(zip(one.first, other.first, strict=False)):
        if not np.array_equal(left, right, equal_nan=True):
            return f"in the first observation of episode {episode}: {first_entry(left, right)}"
    for number, ((episode, a), (_, b)) in enumerate(zip(one.steps, other.steps, strict=True), start=1):
        place = f"at step {number} (episode {episode})"
        if not np.array_equal(a.observation, b.observation, equal_nan=True):
            return f"{place}: {first_entry(a.observation, b.observation)}"
        for name in ("reward", "terminated", "truncated", "failed"):
            left, right = getattr(a, name), getattr(b, name)
            if not np.array_equal(left, right, equal_nan=True):
                return f"{place}: {name} is {left}, then {right}"
    return None


def check_repeatability(make: Callable[[], MonitoredEnv], seed: int, actions: np.ndarray, findings: Findings) -> Replay:
    """Play the same seeds and actions in two copies, and again in one of them.

    Episodes that draw from the global generators are compared again with equal states of those, so that the checks that
    need equal episodes are not left out.

    Raises:
        Unusable: A reset failed.
    """
    with watch_generators(findings):
        env = make()
        try:
            other = make()
        except Unusable:
            other = env  # the finding about a second copy has been added
        reference = play(env, seed, actions)
        again = play(other, seed, actions)
    another = play(other, seed + OTHER_SEED, actions)
    if difference(reference, another) is None:
        observed = f"seeds {seed} and {seed + OTHER_SEED} agree in every bit of {len(actions)} steps"
        findings.add("seed-no-effect", observed)
    pinned = False
    if not np.array_equal(reference.first[0], again.first[0], equal_nan=True):
        findings.add("seed-ignored", f"seed {seed} in two copies: {first_entry(reference.first[0], again.first[0])}")
        pinned = True
    elif found := difference(reference, again):
        findings.add("replay-differs", f"two copies differ {found}")
        pinned = True
    if pinned:
        reference, again = (play(copy, seed, actions, pinned=True) for copy in (env, other))
        if difference(reference, again) is not None:
            return Replay()
    found = difference(reference, play(other, seed, actions, pinned=pinned))
    if found:
        findings.add("reset-incomplete", f"a copy that has played before differs from a fresh one {found}")
    return Replay(True, pinned, outlasts_reset=not found)


def first_entry(left: np.ndarray, right: np.ndarray) -> str:
    """Describe the first entry in which two observations differ, and the largest difference."""
    index = int(np.argmax((left != right) & ~(np.isnan(left) & np.isnan(right))))
    with np.errstate(invalid="ignore"):
        apart = np.abs(left.astype(np.float64) - right)
    largest = float(np.max(apart[np.isfinite(apart)], initial=0.0))
    return f"entry {index} is {left[index]:.9g}, then {right[index]:.9g} (largest difference {largest:.2g})"
