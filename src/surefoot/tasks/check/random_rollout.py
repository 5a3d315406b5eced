"""Long rollout of random actions: end of episodes, rewards, observations and speed."""

from __future__ import annotations

import itertools
import time

import numpy as np

from surefoot.tasks.check.findings import Findings, Measurements
from surefoot.tasks.check.monitored_env import CheckedStep, MonitoredEnv

_LARGE_REWARD, _SMALL_REWARD = 100.0, 1e-3
"""Limits that contain the rewards of the benchmark tasks: at best 1 per step, and 0.002 for random actions."""
_EQUAL_REWARDS = 1e-6
"""Largest difference between rewards that carry no signal; exponentially decaying rewards never reach 0."""
_SLOW = 100.0
"""Steps per second; below, a million steps take three hours."""
_CLOCK_BYTES = 1 << 25
"""Memory for the first episode's observations, with which later episodes are compared."""
_MIN_EPISODES = 4
_MIN_SHARE = 0.2
"""Number and share of episodes with the same maximal length that indicate a time limit."""
_PLAUSIBLE_FALL = 50
"""Episode length up to which equal lengths may also come from a robot that always falls at the same step."""


class RandomRollout:
    """Rollout of random actions and its statistics."""

    def __init__(self, env: MonitoredEnv, findings: Findings) -> None:
        """Prepare a rollout in `env`."""
        self._env, self._findings = env, findings
        self._lengths: list[int] = []
        self._ends: list[CheckedStep] = []
        self._rewards: list[float] = []
        self._steps = self._taken = 0
        self._reset_seconds: list[float] = []
        self._step_seconds = 0.0
        self._low = self._high = np.zeros(0, np.float32)
        self._first_episode: list[np.ndarray] = []
        self._repeated: np.ndarray | None = None
        self._moves = False

    def play(self, actions: np.ndarray, steps: int, seed: int) -> None:
        """Take `steps` steps, cycling through `actions` [N, A] in [-1, 1]; episode k has the seed `seed` + k.

        Raises:
            Unusable: A reset failed, or the time is over.
        """
        cycle = itertools.cycle(actions)
        for episode in itertools.count():
            if self._steps >= steps:
                return
            started = time.perf_counter()
            observation = self._env.reset(seed + episode)
            self._reset_seconds.append(time.perf_counter() - started)
            self._record_observation(observation, 0, episode)
            for length in range(1, steps - self._steps + 1):
                step = self._env.step(next(cycle))
                self._steps += 1
                if step.failed:
                    break
                self._taken += 1
                if np.isfinite(step.reward):
                    self._rewards.append(step.reward)
                self._step_seconds += step.seconds
                self._moves = self._moves or not np.array_equal(observation, step.observation)
                self._record_observation(step.observation, length, episode)
                if step.ended:
                    self._lengths.append(length)
                    self._ends.append(step)
                    break

    @property
    def steps(self) -> int:
        """Number of steps that succeeded."""
        return self._taken

    def add_findings(self, horizon: int | None, *, complete: bool = True) -> None:
        """Add the findings of the rollout, also if the environment failed on the way.

        Args:
            horizon: Declared time limit in env steps, or None.
            complete: Whether there was time for all steps. If not, no conclusion is drawn from what did not happen.
        """
        if not self._taken:
            return
        self._check_ends(horizon, complete)
        self._check_rewards(complete)
        is_finite = np.isfinite(self._low) & np.isfinite(self._high)
        constant = (self._low == self._high) & is_finite
        if not self._moves:
            if is_finite.all():
                self._findings.add("observation-frozen", f"in {self._taken} steps, apart from resets")
        elif constant.any() and (complete or len(self._reset_seconds) > 1):
            entries = ", ".join(map(str, np.flatnonzero(constant)[:8])) + (", ..." if constant.sum() > 8 else "")
            self._findings.add("observation-constant", f"{constant.sum()} of {constant.size} entries: {entries}")
        speed = self._taken / self._step_seconds
        if speed < _SLOW:
            hours = 1e6 / speed / 3600
            self._findings.add("slow", f"{speed:.3g} steps per second, {hours:.3g} hours for a million steps")

    def measurements(self, bytes_per_copy: int | None) -> Measurements:
        """Return the statistics of the rollout, also if the environment failed on the way."""
        rewards = self._rewards
        return Measurements(
            env_steps=self._taken,
            episode_lengths=tuple(self._lengths),
            terminated=sum(end.terminated for end in self._ends),
            truncated=sum(not end.terminated for end in self._ends),
            reward_min=min(rewards) if rewards else None,
            reward_mean=float(np.mean(rewards)) if rewards else None,
            reward_max=max(rewards) if rewards else None,
            steps_per_second=self._taken / self._step_seconds if self._taken else None,
            reset_seconds=float(np.mean(self._reset_seconds)) if self._reset_seconds else None,
            bytes_per_copy=bytes_per_copy,
        )

    def _record_observation(self, observation: np.ndarray, step: int, episode: int) -> None:
        """Update each entry's range and whether it is the same at the same step of every episode."""
        if self._repeated is None:
            self._low, self._high = observation.copy(), observation.copy()
            self._repeated = np.ones(observation.shape, bool)
        np.minimum(self._low, observation, out=self._low)
        np.maximum(self._high, observation, out=self._high)
        if episode == 0:
            if observation.nbytes * len(self._first_episode) < _CLOCK_BYTES:
                self._first_episode.append(observation)
        elif step < len(self._first_episode):
            self._repeated &= self._first_episode[step] == observation

    def _observes_time(self) -> bool:
        """Whether an entry takes the same, pairwise distinct values in every episode.

        The last observation of an episode is excluded: no action is taken there.
        """
        decided = self._first_episode[: self._lengths[0]] if self._lengths else self._first_episode
        if self._repeated is None or len(decided) < 2:
            return False
        return any(len(np.unique(column)) == len(column) for column in np.stack(decided)[:, self._repeated].T)

    def _check_ends(self, horizon: int | None, complete: bool) -> None:
        steps, lengths, ends = self._taken, self._lengths, self._ends
        if not lengths:
            if not self._env.ends_are_known or not (complete or (horizon is not None and steps > horizon)):
                return
            if horizon is not None and steps <= horizon:
                self._findings.add("ends-unchecked", f"{steps:,} steps, and a declared time limit of {horizon:,}")
            else:
                past = "" if horizon is None else f", past the limit of {horizon:,}"
                self._findings.add("never-ends", f"in {steps:,} steps{past}")
        elif len(ends) > 1 and all(end.terminated and end.truncated for end in ends):
            span = " to ".join(f"{length:,}" for length in sorted({min(lengths), max(lengths)}))
            self._findings.add("both-flags", f"{len(ends)} of {len(ends)} episodes, after {span} steps")
        elif not any(end.truncated and not end.terminated for end in ends) and not self._observes_time():
            self._check_longest(horizon)

    def _check_longest(self, horizon: int | None) -> None:
        """Add a finding if the longest episodes have equal length; shorter ones may end in true terminal states."""
        total, longest = len(self._lengths), max(self._lengths)
        count = self._lengths.count(longest)
        certain = longest == horizon or longest >= _PLAUSIBLE_FALL
        enough = count >= (2 if longest == horizon else _MIN_EPISODES)
        if enough and longest > 1 and count >= total * (_MIN_SHARE if certain else 1.0):
            observed = f"{count} of {total} episodes terminated after exactly {longest:,} steps of random actions"
            observed += ", the others before" if count < total else ""
            self._findings.add("time-limit-terminates", observed, None if certain else "warning")

    def _check_rewards(self, complete: bool) -> None:
        if not self._rewards:
            return
        steps, lowest, highest = len(self._rewards), min(self._rewards), max(self._rewards)
        largest, typical = max(abs(lowest), abs(highest)), float(np.sqrt(np.mean(np.square(self._rewards))))
        if steps > 1 and highest - lowest < _EQUAL_REWARDS:
            if not complete and not self._lengths:
                return
            # Staying alive for a constant reward is a task if episodes can terminate.
            can_end = any(end.terminated for end in self._ends) and largest > _EQUAL_REWARDS
            values = f"{lowest:g}" if lowest == highest else f"{lowest:.2g} to {highest:.2g}"
            observed = f"{values} in each of {steps:,} steps of random actions"
            self._findings.add("reward-constant", observed, "info" if can_end else None)
        elif largest < _SMALL_REWARD:
            self._findings.add("reward-small", f"{largest:.2g} at most, in {steps:,} steps")
        if typical > _LARGE_REWARD:
            observed = f"root mean square {typical:,.4g} per step, {largest:,.4g} at most"
            self._findings.add("reward-large", observed)
