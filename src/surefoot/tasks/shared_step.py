"""Vector step in memory shared by a process and its workers."""

from __future__ import annotations

import errno
import mmap
import os

import numpy as np

from surefoot.errors import UserError
from surefoot.processes import memory_file
from surefoot.tasks.slots import VectorStep


def make_file() -> int:
    """Return the descriptor of a new file for a `SharedStep`, in memory where the system supports it.

    Raises:
        UserError: There is no place for it.
    """
    try:
        with memory_file() as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise UserError(
            f"worker processes need a shared file: {error.strerror or error}; set TMPDIR to a folder with space, or "
            "step in this process (0 workers)"
        ) from error


class SharedStep:
    """Actions and results of one decision in N environment slots, in shared memory.

    It needs no lock: a message through a pipe follows every write, and every read precedes the next request.

    Args:
        descriptor: Descriptor of the shared file, open in every process.
        slots: N, the number of environment slots.
        observation_size: O.
        action_size: A.

    Attributes:
        actions: [N, A] float32.

    Raises:
        UserError: There is no space for the file.
    """

    def __init__(self, descriptor: int, slots: int, observation_size: int, action_size: int) -> None:
        fields: dict[str, tuple[str, tuple[int, ...]]] = {
            "actions": ("f4", (slots, action_size)),
            "next_observation": ("f4", (slots, observation_size)),
            "observation": ("f4", (slots, observation_size)),
            "reward": ("f4", (slots,)),
            "env_steps": ("i4", (slots,)),
            **dict.fromkeys(("terminated", "truncated", "success", "reports_success", "active"), ("?", (slots,))),
        }
        layout = np.dtype([(name, *field) for name, field in fields.items()], align=True)
        _reserve(descriptor, layout.itemsize)  # no effect in all processes but the first
        (memory,) = np.frombuffer(mmap.mmap(descriptor, layout.itemsize), layout)
        self.actions: np.ndarray = memory["actions"]
        self._step = VectorStep(*(memory[name] for name in VectorStep._fields))

    def write(self, step: VectorStep, slots: slice) -> None:
        """Write the results of some of the slots."""
        for shared, array in zip(self._step, step, strict=True):
            shared[slots] = array

    def read(self) -> VectorStep:
        """Return copies of the results of all slots."""
        return VectorStep(*(array.copy() for array in self._step))


def _reserve(descriptor: int, size: int) -> None:
    """Make a file this large. Without space on its disk, writing to its memory would end the process by SIGBUS."""
    try:
        os.ftruncate(descriptor, size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # reserving is not supported there
            raise UserError(f"worker processes need {size} bytes of shared memory: {error.strerror}") from error
