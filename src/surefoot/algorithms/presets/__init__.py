"""Named algorithms."""

from __future__ import annotations

import dataclasses
from typing import Any

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.presets.bro import bro
from surefoot.algorithms.presets.crossq import crossq, crossq_2024, crossq_wn, crossq_wn_code, crossq_wn_r, td3_wn
from surefoot.algorithms.presets.flashsac import flashsac
from surefoot.algorithms.presets.registry import PRESETS, PresetInfo
from surefoot.algorithms.presets.sac import droq, redq, sac, sr_sac
from surefoot.algorithms.presets.simba import simba
from surefoot.algorithms.presets.xqc import xqc
from surefoot.errors import UserError, suggest
from surefoot.networks.validation import one_line
from surefoot.whole_numbers import Ratio

__all__ = [
    "PresetInfo",
    "as_algorithm",
    "bro",
    "crossq",
    "crossq_2024",
    "crossq_wn",
    "crossq_wn_code",
    "crossq_wn_r",
    "droq",
    "find_preset",
    "flashsac",
    "get_preset",
    "list_presets",
    "redq",
    "sac",
    "simba",
    "sr_sac",
    "td3_wn",
    "xqc",
]

_ORDER = (
    *("crossq-wn", "crossq-wn-r", "crossq-wn-code", "crossq", "crossq-2024", "td3-wn"),
    *("flashsac", "xqc", "simba", "bro", "sr-sac", "redq", "droq", "sac"),
)


def list_presets() -> tuple[PresetInfo, ...]:
    """Return every named algorithm, CrossQ + WN first."""
    return tuple(PRESETS[name] for name in _ORDER)


def find_preset(name: str) -> PresetInfo:
    """Return a named algorithm.

    Args:
        name: Name of one of ``list_presets()``, or of its function.

    Raises:
        UserError: The name is unknown.
    """
    found = PRESETS.get(name.lower().replace("_", "-"))
    if found is None:
        raise UserError(f"unknown algorithm {name!r}{suggest(name, _ORDER)} (`surefoot algorithms` lists all)")
    return found


def as_algorithm(algorithm: Algorithm | str | None) -> Algorithm:
    """Return an algorithm that may be given by name.

    Args:
        algorithm: Composition, name of one of ``list_presets()``, or None for CrossQ + WN as released.

    Raises:
        UserError: The name is unknown, or it is neither.
    """
    if algorithm is None:
        return crossq_wn_code()
    if isinstance(algorithm, str):
        return find_preset(algorithm).build()
    if not isinstance(algorithm, Algorithm):
        raise UserError(
            "algorithm must be a surefoot.Algorithm such as surefoot.crossq_wn_code(), or a name such as "
            f"'crossq-wn-code', got {_described(algorithm)}"
        )
    return algorithm


def _described(value: Any) -> str:
    name = getattr(value, "__name__", None)
    return one_line(value) if name is None else f"the function {name}: call it, {name}()"


def get_preset(
    name: str, *, utd: Ratio | None = None, learning_rate: float | None = None, **overrides: Any
) -> Algorithm:
    """Build a named algorithm with some fields replaced.

    Args:
        name: Name of one of ``list_presets()``.
        utd: Gradient updates per agent step; some presets derive other fields from it. None keeps the preset's.
        learning_rate: Learning rate of actor and critic, but not of the temperature. None keeps the preset's.
        **overrides: Fields of ``Algorithm``.

    Raises:
        UserError: Unknown name or field, or an invalid value.
    """
    build = find_preset(name).build
    algorithm = build() if utd is None else build(utd)
    if learning_rate is not None:
        algorithm = algorithm.replace(
            actor_optimizer=dataclasses.replace(algorithm.actor_optimizer, learning_rate=learning_rate),
            critic_optimizer=dataclasses.replace(algorithm.critic_optimizer, learning_rate=learning_rate),
        )
    return algorithm.replace(**overrides)
