"""Episodes in a worker process."""

from __future__ import annotations

import numpy as np

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.repeatability import first_entry
from surefoot.tasks.task import Task
from surefoot.tasks.vector import make_vector

_STEPS = 50
"""Steps compared between processes; differing simulations diverge much earlier."""


def check_other_process(task: Task, seed: int, findings: Findings, repeats: bool) -> None:
    """Play an episode in a worker process, and compare it with the same episode in this process.

    Args:
        task: Task to play.
        seed: Training seed of the episode.
        findings: Collection that findings are added to.
        repeats: Whether episodes are equal within a process; without that, they are not compared.
    """
    there = _play(task, seed, 1, findings)
    if there is None or not repeats or (here := _play(task, seed, 0, findings)) is None:
        return
    for number, (left, right) in enumerate(zip(here, there, strict=False)):
        if not np.array_equal(left, right, equal_nan=True):
            place = f"at step {number}" if number else "in the first observation"
            findings.add("process-differs", f"{place}: {first_entry(left[0], right[0])}")
            return


def _play(task: Task, seed: int, num_workers: int, findings: Findings) -> list[np.ndarray] | None:
    """Return observations and rewards up to the first failure; None if the environment cannot be made there."""
    results: list[np.ndarray] = []
    try:
        with make_vector(task, [seed], "train", action_repeat=1, num_workers=num_workers) as vector:
            rng = np.random.default_rng(seed)
            results.append(vector.reset([0]))
            for _ in range(_STEPS):
                action = rng.uniform(-1.0, 1.0, (1, vector.action_size)).astype(np.float32)
                step = vector.step(action)
                results.append(np.column_stack([step.next_observation, step.reward]))
    except UserError as error:
        findings.add("not-sendable", str(error))
        return None
    except EnvironmentFailure as error:
        if not findings.has_error:  # else the cause has been found
            findings.add("raises", f"{'in a worker process: ' if num_workers else ''}{error.detail}")
    return results
