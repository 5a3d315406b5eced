"""Exceptions, and suggestions for misspelled names."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator

from surefoot.text import one_line

BASE_PACKAGES = ("cloudpickle", "flax", "gymnasium", "jax", "optax", "rich", "tyro")
"""Packages of every full installation, NumPy apart."""

_MAX_LENGTH = 200


class UserError(ValueError):
    """The request is invalid: one line with the value and what was expected. Exit code 2.

    Args:
        message: The problem. It is stored as one printable line, whatever values and paths it contains.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class RunFailure(RuntimeError):
    """An environment, a disk or a worker failed: one line that says where. Exit code 1.

    Args:
        message: The failure. It is stored as one printable line, whatever values and paths it contains.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class MissingDependency(UserError):
    """A package is not installed; the message contains the command that installs it.

    Args:
        package: Import name of the package.
        extra: Extra of surefoot that includes it; None for a package of every full installation.
        needed_for: Feature that needs it, the start of the message.
    """

    def __init__(self, package: str, extra: str | None, needed_for: str) -> None:
        command = "pip install surefoot"
        if extra is not None:
            command = f"pip install 'surefoot[{extra}]' (in a checkout: make setup EXTRA={extra})"
        super().__init__(f"{needed_for} needs the package '{package}', which is not installed: {command}")


@contextlib.contextmanager
def full_installation(needed_for: str) -> Iterator[None]:
    """Report a failed import of one of ``BASE_PACKAGES`` as ``MissingDependency``.

    An installation without dependencies, which plays saved policies, lacks them.

    Args:
        needed_for: Feature that is imported, the start of the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name in BASE_PACKAGES:
            raise MissingDependency(error.name, None, needed_for) from error
        raise


class EnvironmentFailure(RunFailure):
    """An environment raised, returned a non-finite value, never ended an episode, or its worker process died.

    Attributes:
        seed: Training seed of the environment that failed.
        detail: The failure in one line, without task and step, which the training loop adds.
        environment: Number of the environment within its seed; None where a seed has one.
        where: Seed and number of the environment, as messages name it.
    """

    def __init__(self, seed: int, detail: str, environment: int | None = None) -> None:
        self.where = f"seed {seed}" if environment is None else f"seed {seed}, environment {environment}"
        super().__init__(f"{self.where}: {detail}")
        self.seed = seed
        self.detail = detail
        self.environment = environment


def suggest(value: str, valid: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``"; did you mean 'a' or 'b'?"`` for the closest valid choices, or an empty string if none is close.

    Args:
        value: Unknown choice.
        valid: Valid choices.
        cutoff: Least similarity in [0, 1].
    """
    if len(value) > _MAX_LENGTH:
        return ""  # comparing takes more than linear time
    close = difflib.get_close_matches(value, list(dict.fromkeys(valid)), n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
