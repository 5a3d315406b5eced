"""Checkpoints of a run, copied between two agent steps and written in the background."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from surefoot.algorithms import LearnerState
from surefoot.policy import PolicySpec, save_policy
from surefoot.replay import ReplayState
from surefoot.runs import Checkpoint, RunDirectory
from surefoot.training.checkpointing.arrays import arrays_to_tree, copy_tree, tree_to_arrays
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.checkpointing.replay_log import (
    NOTHING,
    ReplayCopy,
    ReplayRings,
    oldest_transition,
    replay_mark,
    segment_mark,
)
from surefoot.training.policy_arrays import policy_arrays
from surefoot.training.population import PopulationState
from surefoot.training.runtime.background import Background
from surefoot.types import PyTree


class CheckpointWriter:
    """Writes and restores the checkpoints of one run.

    Args:
        directory: Run directory, locked by the caller.
        columns: Entries of the observation that the policy receives; None for all.

    Attributes:
        env_steps: Env steps of the newest checkpoint, which may still be being written; None before the first.
    """

    def __init__(self, directory: RunDirectory, columns: tuple[int, ...] | None = None) -> None:
        self._directory, self._columns = directory, columns
        self._segments: list[tuple[str, int]] = []
        """File name and end of the replay segments that are still needed."""
        self._mark = NOTHING
        self._thread = Background("the checkpoint that was being written")
        self.env_steps: int | None = None

    def save(
        self,
        env_steps: int,
        state: PopulationState,
        host: HostState,
        meta: dict[str, Any],
        spec: PolicySpec,
        simulator: PyTree = None,
    ) -> None:
        """Copy the state and write it in the background, with the policy; the save before must have ``finished``.

        Args:
            env_steps: Env steps per seed so far.
            state: Everything on the device.
            host: Everything else that the rest of the run depends on.
            meta: JSON values stored with the checkpoint.
            spec: Description of the policy.
            simulator: State of environments on the device.
        """
        counters = {name: np.array(value) for name, value in state.replay._asdict().items() if value.ndim == 1}
        loop = host.to_arrays()
        learner, metrics, simulator = copy_tree((state.learner, state.metrics, simulator))
        new, oldest = self._copy_new(state.replay), oldest_transition(state.replay)
        unlock = self._directory.keep_locked()

        def write() -> None:
            try:
                self._directory.check_lock()
                # First: a process killed after the last checkpoint leaves a finished run, which nothing resumes.
                self.write_policy(learner, spec)
                if new is not None:
                    self._append_segment(new.to_arrays(), oldest)
                self._directory.checkpoints.save(
                    env_steps,
                    arrays={
                        "learner": tree_to_arrays(learner),
                        "metrics": tree_to_arrays(metrics),
                        "replay_counters": counters,
                        "loop": loop,
                        **({} if simulator is None else {"simulator": tree_to_arrays(simulator)}),
                    },
                    meta=meta,
                    segments=[name for name, _ in self._segments],
                )
            finally:
                unlock()  # Also after an interrupt, which does not wait for this thread.

        try:
            self._thread.start(write)
        except BaseException:
            unlock()
            raise
        self.env_steps = env_steps

    def write_policy(self, learner: LearnerState, spec: PolicySpec) -> None:
        """Write the policy of all seeds.

        Args:
            learner: State [S] of the learners.
            spec: Description of the policy.
        """
        arrays = policy_arrays(learner.actor, learner.observations, self._columns)
        save_policy(self._directory.policy_path, spec, arrays)

    def finished(self, wait: bool = False) -> bool:
        """Return True once for every checkpoint that has been written.

        Args:
            wait: Wait for the one being written.

        Raises:
            RunFailure: Writing failed; earlier checkpoints are intact.
        """
        return self._thread.finished(wait)

    def settled(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that waits at its end for the checkpoint being written; see ``finishing``."""
        return self._thread.settled()

    def restore(self, loaded: Checkpoint, shapes: PopulationState, observation: np.ndarray) -> PopulationState:
        """Return the state on the device, and append later segments to the log of this checkpoint.

        Args:
            loaded: Checkpoint as read.
            shapes: State of the same shapes.
            observation: [K, O] to act on.

        Raises:
            UserError: An array does not have the expected shape or type.
        """
        rings, segments, mark = ReplayRings(shapes.replay), [], NOTHING
        for path in loaded.segments:
            segment = self._directory.checkpoints.read_segment(path)
            rings.write(segment)
            mark = segment_mark(segment)
            segments.append((path.name, mark.transitions))
        state = PopulationState(
            learner=arrays_to_tree(shapes.learner, loaded.arrays["learner"]),
            replay=rings.finish(loaded.arrays["replay_counters"], observation),
            metrics=arrays_to_tree(shapes.metrics, loaded.arrays["metrics"]),
        )
        self._segments, self._mark, self.env_steps = segments, mark, loaded.env_steps
        return state

    def _copy_new(self, replay: ReplayState) -> ReplayCopy | None:
        """Copy what entered the buffers since the last checkpoint."""
        mark = replay_mark(replay)
        if mark.transitions == self._mark.transitions:
            return None  # Frames without a transition are part of the next segment.
        new = ReplayCopy(replay, self._mark)
        self._mark = mark
        return new

    def _append_segment(self, arrays: dict[str, np.ndarray], oldest: int) -> None:
        start, stop = int(arrays["start"]), int(arrays["stop"])
        self._segments.append((self._directory.checkpoints.write_segment(start, stop, arrays), stop))
        # A segment that ends at the oldest transition contains that transition's first frame.
        self._segments = [(name, end) for name, end in self._segments if end >= oldest]
