"""Memory that a process and its workers share, so that the numbers of a step go through no pipe."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np

from surefoot.tasks.slots import VectorStep


def make_file() -> int:
    """Return the descriptor of a fresh file for a `SharedStep`, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("surefoot-step")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedStep:
    """What N slots are told and what they tell in one decision.

    It holds no lock: whoever writes says so through a pipe, and reading comes before the next request.

    Args:
        descriptor: of one open file in every process.
        slots: N.
        observation_size: O.
        action_size: A.

    Attributes:
        actions: [N, A] float32.
    """

    def __init__(self, descriptor: int, slots: int, observation_size: int, action_size: int) -> None:
        kinds: dict[str, tuple[str, tuple[int, ...]]] = {
            "actions": ("f4", (slots, action_size)),
            "next_observation": ("f4", (slots, observation_size)),
            "observation": ("f4", (slots, observation_size)),
            "reward": ("f4", (slots,)),
            "env_steps": ("i4", (slots,)),
            **dict.fromkeys(("terminated", "truncated", "success", "active"), ("?", (slots,))),
        }
        layout = np.dtype([(name, *kind) for name, kind in kinds.items()], align=True)
        os.ftruncate(descriptor, layout.itemsize)  # Of that size already for all but the first.
        (memory,) = np.frombuffer(mmap.mmap(descriptor, layout.itemsize), layout)
        self.actions: np.ndarray = memory["actions"]
        self._step = VectorStep(*(memory[name] for name in VectorStep._fields))

    def put(self, step: VectorStep, slots: slice) -> None:
        """Write what came of the decision in some of the slots."""
        for ours, theirs in zip(self._step, step, strict=True):
            ours[slots] = theirs

    def take(self) -> VectorStep:
        """Return copies of what all slots have written."""
        return VectorStep(*(array.copy() for array in self._step))
