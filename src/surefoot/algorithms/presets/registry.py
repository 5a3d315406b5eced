"""Registry of the named algorithms."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.learner import Learner
from surefoot.algorithms.learner_state import parameter_count
from surefoot.misplaced import FUNCTIONS, explains_keywords
from surefoot.types import EnvSpec

NEUTRAL = "neutral"
"""Source of a value that equals the default of ``Algorithm``, and of absent parts."""


@dataclass(frozen=True)
class PresetInfo:
    """A named algorithm.

    Attributes:
        name: Name on the command line.
        summary: One-line description.
        paper: Publication of its values.
        url: Address of that publication.
        build: Function that returns the composition; takes ``utd``.
        sources: Source of each value that differs from the defaults of ``Algorithm``, by dotted field name. An entry
            for a part covers its fields.
    """

    name: str
    summary: str
    paper: str
    url: str
    build: Callable[..., Algorithm]
    sources: Mapping[str, str]

    @property
    def utd(self) -> int | Fraction:
        """Default number of gradient updates per agent step."""
        return self.build().utd

    @functools.cached_property
    def parameters(self) -> int:
        """Trained parameters at cheetah-run's 17 observations and 6 actions, target networks excluded."""
        init = Learner(self.build(), EnvSpec(observation_size=17, action_size=6), discount=0.99).init
        return parameter_count(jax.eval_shape(init, jax.random.key(0)))

    def values(self) -> Iterator[tuple[str, Any, str]]:
        """Yield every value as (dotted name, value, source)."""
        for path, value in _values(self.build()):
            names = path.split(".")
            prefixes = (".".join(names[:length]) for length in range(len(names), 0, -1))
            yield path, value, next((self.sources[prefix] for prefix in prefixes if prefix in self.sources), NEUTRAL)


PRESETS: dict[str, PresetInfo] = {}
"""Every preset by name, in order of definition."""


def preset[**P](
    *, summary: str, paper: str, url: str, sources: Mapping[str, str]
) -> Callable[[Callable[P, Algorithm]], Callable[P, Algorithm]]:
    """Register a function as a preset, named after it; see ``PresetInfo`` for the arguments."""

    def register(function: Callable[P, Algorithm]) -> Callable[P, Algorithm]:
        name = function.__name__.replace("_", "-")

        @explains_keywords
        @functools.wraps(function)
        def build(*args: P.args, **kwargs: P.kwargs) -> Algorithm:
            return function(*args, **kwargs).replace(name=name)

        FUNCTIONS.add(function.__name__)
        PRESETS[name] = PresetInfo(name, summary, paper, url, build, sources)
        return build

    return register


def cite(source: str, fields: str) -> dict[str, str]:
    """Return the source of several fields, given as one space-separated text."""
    return dict.fromkeys(fields.split(), source)


def _values(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(part):
        value, path = getattr(part, field.name), prefix + field.name
        if path == "name":
            continue
        if dataclasses.is_dataclass(value) and dataclasses.fields(value):
            yield path, type(value).__name__
            yield from _values(value, f"{path}.")
        else:
            yield path, type(value).__name__ if dataclasses.is_dataclass(value) else value
