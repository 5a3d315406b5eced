"""Global random generators of NumPy and Python, which environments may draw from or seed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from surefoot.tasks.check.findings import Findings

_NAMES = ("np.random", "Python's random")


class OwnGenerators:
    """States of the global generators for one copy of an environment.

    Inside a ``with`` block the global generators continue where the previous block ended; outside they are as before.

    Args:
        seed: Seed of both generators.
    """

    def __init__(self, seed: int) -> None:
        self._own: tuple[Any, Any] = (
            np.random.RandomState(seed).get_state(legacy=True),
            random.Random(seed).getstate(),
        )
        self._others = self._own

    def __enter__(self) -> Self:
        self._others = _states()
        _set_states(self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._own = _states()
        _set_states(self._others)


@contextlib.contextmanager
def preserve_generators() -> Iterator[None]:
    """Leave the global generators after the block as they were before it."""
    before = _states()
    try:
        yield
    finally:
        _set_states(before)


@contextlib.contextmanager
def watch_generators(findings: Findings) -> Iterator[None]:
    """Add a finding if the block uses the global generators."""
    before = _comparable(_states())
    yield
    for name, was, now in zip(_NAMES, before, _comparable(_states()), strict=True):
        if was != now:
            findings.add("global-random", f"{name} was drawn from or seeded")


def _states() -> tuple[Any, Any]:
    return np.random.get_state(legacy=True), random.getstate()  # noqa: NPY002


def _set_states(states: tuple[Any, Any]) -> None:
    np.random.set_state(states[0])  # noqa: NPY002
    random.setstate(states[1])


def _comparable(states: tuple[Any, Any]) -> tuple[Any, Any]:
    _, keys, position, has_normal, normal = states[0]
    return (np.asarray(keys).tobytes(), position, has_normal, normal), states[1]
