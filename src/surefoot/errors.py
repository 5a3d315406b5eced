"""The two ways a command can fail, and what each means for the exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_NAME = 200


class UserError(ValueError):
    """The request cannot be carried out as asked: one line that names the value and what was expected. Exit code 2."""


class RunFailure(RuntimeError):
    """Something broke while running (an environment, a disk, a worker): one line that says where. Exit code 1."""


class MissingDependency(UserError):
    """An optional package is not installed; the message carries the command that installs it.

    Args:
        package: what is missing, as it is imported.
        extra: surefoot's extra that brings it.
        needed_for: what cannot be done without it, the beginning of the message.
    """

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed: pip install 'surefoot[{extra}]'"
        )


class EnvironmentFailure(RunFailure):
    """An environment raised, returned a non-finite value, never ended an episode, or its worker process died.

    Attributes:
        seed: the training seed of the lane that failed.
        detail: what happened, in one line, without task or step (the training loop adds those).
    """

    def __init__(self, seed: int, detail: str) -> None:
        super().__init__(f"seed {seed}: {detail}")
        self.seed = seed
        self.detail = detail


def suggest(value: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'a' or 'b'?"`` for the nearest valid choices, or an empty string when none is near."""
    if len(value) > _LONGEST_NAME:
        return ""  # near to nothing, and comparing takes longer than linear time
    near = difflib.get_close_matches(value, list(dict.fromkeys(valid)), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
