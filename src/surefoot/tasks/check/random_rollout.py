"""A long stretch of random actions: how episodes end, what rewards are like, what observations show, what it costs."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from surefoot.tasks.check.monitored_env import Subject, Watched
from surefoot.tasks.check.report import Measurements, Notes
from surefoot.tasks.check.spaces import draw_actions

_LARGE_REWARD, _SMALL_REWARD = 100.0, 1e-3
"""The benchmark tasks' rewards lie within them: 1 per step at best, and 0.002 where random actions fare worst."""
_ALIKE = 1e-6
"""A reward that decays exponentially with a distance is never 0; what differs by less than this tells nothing."""
_SLOW = 100.0
"""Steps per second below which a million steps take three hours."""
_CLOCK_BYTES = 1 << 25
"""What the first episode's observations may occupy while later ones are compared with them."""
_EPISODES_TO_JUDGE = 4
_SHARE_TO_JUDGE = 0.2
"""How many episodes must have ended at the same step, and at least which share of all."""
_PLAUSIBLE_FALL = 50
"""A robot that always falls at the same early step is possible; always at the same later one is a time limit."""


@dataclass
class Explored:
    """What a long stretch of random actions has shown.

    Attributes:
        lengths: env steps of every episode that ended.
        ends: (terminated, truncated) of each.
        rewards: of every step.
        resets: the seconds each reset took.
        seconds: that all steps took.
        has_clock: whether some entry of the observation tells the step of the episode.
    """

    lengths: list[int] = field(default_factory=list)
    ends: list[tuple[bool, bool]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)
    seconds: float = 0.0
    has_clock: bool = False

    def measurements(self, bytes_per_copy: int | None) -> Measurements:
        """Return the numbers for the report."""
        rewards = np.array(self.rewards) if self.rewards else None
        return Measurements(
            env_steps=len(self.rewards),
            episode_lengths=tuple(self.lengths),
            terminated=sum(terminated for terminated, _ in self.ends),
            truncated=sum(truncated and not terminated for terminated, truncated in self.ends),
            reward_min=None if rewards is None else float(rewards.min()),
            reward_mean=None if rewards is None else float(rewards.mean()),
            reward_max=None if rewards is None else float(rewards.max()),
            steps_per_second=len(self.rewards) / self.seconds if self.seconds else None,
            reset_seconds=float(np.mean(self.resets)) if self.resets else None,
            bytes_per_copy=bytes_per_copy,
        )


class Explorer:
    """Plays random actions and keeps what can be told from them.

    Attributes:
        explored: what has been seen so far, also where the environment broke on the way.
    """

    def __init__(self, subject: Subject, notes: Notes) -> None:
        """Explore `subject`, noting findings in `notes`."""
        self.explored = Explored()
        self._subject, self._notes = subject, notes
        self._low = self._high = np.zeros(0, np.float32)
        self._first: list[np.ndarray] = []
        self._same: np.ndarray | None = None
        self._moves = False

    def play(self, steps: int, seed: int) -> None:
        """Take `steps` steps; episode k has the seed `seed` + k.

        Raises:
            Unusable: the environment broke.
        """
        actions = itertools.cycle(draw_actions(self._subject.env.action_space, min(steps, 1000), seed))  # type: ignore[arg-type]
        taken = 0
        for episode in itertools.count():
            if taken >= steps:
                return
            started = time.perf_counter()
            observation = self._subject.reset(seed + episode)
            self.explored.resets.append(time.perf_counter() - started)
            self._see(observation, 0, episode)
            for length in range(1, steps - taken + 1):
                step = self._subject.step(next(actions))
                taken += 1
                self._take_down(step)
                self._moves = self._moves or not np.array_equal(observation, step.observation)
                self._see(step.observation, length, episode)
                if step.ended:
                    self.explored.lengths.append(length)
                    self.explored.ends.append((step.terminated, step.truncated))
                    break

    def judge(self, horizon: int | None) -> None:
        """Note what the stretch says about episodes, rewards, observations and speed.

        Args:
            horizon: the declared time limit in env steps, or None.
        """
        self.explored.has_clock = self._has_clock()
        _judge_ends(self.explored, horizon, self._notes)
        _judge_rewards(self.explored, self._notes)
        frozen = self._low == self._high
        if not self._moves:
            self._notes.add("observation-frozen", f"in {len(self.explored.rewards)} steps, apart from resets")
        elif frozen.any():
            entries = ", ".join(map(str, np.flatnonzero(frozen)[:8])) + (", ..." if frozen.sum() > 8 else "")
            self._notes.add("observation-constant", f"{frozen.sum()} of {frozen.size} entries: {entries}")
        speed = len(self.explored.rewards) / self.explored.seconds
        if speed < _SLOW:
            hours = 1e6 / speed / 3600
            self._notes.add("slow", f"{speed:.3g} steps per second, {hours:.3g} hours for a million steps")

    def _take_down(self, step: Watched) -> None:
        self.explored.rewards.append(step.reward)
        self.explored.seconds += step.seconds

    def _see(self, observation: np.ndarray, step: int, episode: int) -> None:
        """Keep every entry's range, and which entries are the same at the same step of every episode."""
        if self._same is None:
            self._low, self._high = observation.copy(), observation.copy()
            self._same = np.ones(observation.shape, bool)
        np.minimum(self._low, observation, out=self._low)
        np.maximum(self._high, observation, out=self._high)
        if episode == 0:
            if observation.nbytes * len(self._first) < _CLOCK_BYTES:
                self._first.append(observation)
        elif step < len(self._first):
            self._same &= self._first[step] == observation

    def _has_clock(self) -> bool:
        """Whether some entry goes through the same values in every episode, none of them twice.

        The last observation of an episode does not count: nothing is decided there.
        """
        decided = self._first[: self.explored.lengths[0]] if self.explored.lengths else self._first
        if self._same is None or len(decided) < 2:
            return False
        first = np.stack(decided)[:, self._same]
        return any(len(np.unique(column)) == len(column) for column in first.T)


def _judge_ends(explored: Explored, horizon: int | None, notes: Notes) -> None:
    steps, lengths, ends = len(explored.rewards), explored.lengths, explored.ends
    if not lengths:
        if horizon is None or steps > horizon:
            notes.add("never-ends", f"in {steps:,} steps" + (f", past the limit of {horizon:,}" if horizon else ""))
        else:
            notes.add("ends-unseen", f"{steps:,} steps, and a declared time limit of {horizon:,}")
        return
    if len(ends) > 1 and all(terminated and truncated for terminated, truncated in ends):
        notes.add("both-flags", f"{len(ends)} of {len(ends)} episodes, after {_range(lengths)} steps")
        return
    if not explored.has_clock:
        _judge_longest(lengths, ends, horizon, notes)


def _judge_longest(lengths: list[int], ends: list[tuple[bool, bool]], horizon: int | None, notes: Notes) -> None:
    """Note where the longest episodes, as long as one another to the step, terminate, and none was ever truncated."""
    longest = max(lengths)
    alike = lengths.count(longest)
    certain = longest == horizon or longest >= _PLAUSIBLE_FALL
    enough = alike >= (2 if longest == horizon else _EPISODES_TO_JUDGE)
    # Other episodes may have ended before, in states that are terminal indeed; in short ones that proves nothing.
    often = alike >= _SHARE_TO_JUDGE * len(lengths) if certain else alike == len(lengths)
    if enough and often and longest > 1 and not any(truncated for _, truncated in ends):
        notes.add(
            "time-limit-terminates",
            f"{alike} of {len(lengths)} episodes terminated after exactly {longest:,} steps of random actions"
            + (", the others before" if alike < len(lengths) else ""),
            None if certain else "warning",
        )


def _judge_rewards(explored: Explored, notes: Notes) -> None:
    rewards = np.abs(explored.rewards)
    largest, typical = float(rewards.max()), float(np.sqrt(np.mean(np.square(rewards))))
    lowest, highest = min(explored.rewards), max(explored.rewards)
    if len(rewards) > 1 and highest - lowest < _ALIKE:
        # Where episodes can end, to stay alive for the same reward per step is a task.
        can_end = any(terminated for terminated, _ in explored.ends) and largest > _ALIKE
        values = f"{lowest:g}" if lowest == highest else f"{lowest:.2g} to {highest:.2g}"
        seen = f"{values} in each of {len(rewards):,} steps of random actions"
        notes.add("reward-constant", seen, "info" if can_end else None)
    if typical > _LARGE_REWARD:
        notes.add("reward-large", f"{typical:,.4g} at a typical step (root mean square), {largest:,.4g} at most")
    elif largest < _SMALL_REWARD and "reward-constant" not in notes:
        notes.add("reward-small", f"{largest:.2g} at most, in {len(rewards):,} steps")


def _range(lengths: list[int]) -> str:
    return f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"


def measure_memory(make: Callable[[], Subject], seed: int, copies: int = 3) -> int | None:
    """Return the main memory in bytes that one more copy takes once it is reset; None where Linux does not tell."""
    if (before := _resident_bytes()) is None:
        return None
    kept = []
    for copy in range(copies):
        kept.append(make())
        kept[-1].reset(seed + copy)
    after = _resident_bytes()
    return None if after is None else max(0, after - before) // copies


def _resident_bytes() -> int | None:
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
