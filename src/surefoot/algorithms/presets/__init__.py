"""Named algorithms: one list, crossed with every contract test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.presets.crossq import crossq, crossq_wn, crossq_wn_code, crossq_wn_r
from surefoot.algorithms.presets.sac import sac
from surefoot.errors import UserError, suggest

_SCALING = "https://arxiv.org/abs/2502.07523"


@dataclass(frozen=True)
class PresetInfo:
    """A named algorithm.

    Attributes:
        name: as the command line takes it.
        summary: one line.
        paper: where its values come from.
        url: that paper.
        build: makes the composition; takes ``utd``.
    """

    name: str
    summary: str
    paper: str
    url: str
    build: Callable[..., Algorithm]

    @property
    def utd(self) -> int:
        """Gradient updates per agent step unless told otherwise."""
        return self.build().utd


_PRESETS = (
    PresetInfo(
        "crossq-wn",
        "CrossQ with unit-norm weights: stable as the update-to-data ratio grows",
        "Palenicek et al. 2025 (v1, Table 1)",
        _SCALING,
        crossq_wn,
    ),
    PresetInfo(
        "crossq-wn-r",
        "CrossQ + WN with the revision's learning rate and target entropy",
        "Palenicek et al. 2025 (v2)",
        _SCALING,
        crossq_wn_r,
    ),
    PresetInfo(
        "crossq-wn-code",
        "CrossQ + WN as its authors released it: a low initial temperature, a falling learning rate",
        "Palenicek et al. 2025 (released with XQC, arXiv 2509.25174)",
        _SCALING,
        crossq_wn_code,
    ),
    PresetInfo(
        "crossq",
        "Batch-normalised SAC with a joint forward pass and a target network",
        "Palenicek et al. 2025 (v1, Table 1); Bhatt et al. 2024",
        _SCALING,
        crossq,
    ),
    PresetInfo(
        "sac",
        "Soft actor-critic",
        "Palenicek et al. 2025 (v1, Table 1); Haarnoja et al. 2018",
        _SCALING,
        sac,
    ),
)


def list_presets() -> tuple[PresetInfo, ...]:
    """Return every named algorithm, the library's own subject first."""
    return _PRESETS


def get_preset(name: str, *, learning_rate: float | None = None, **overrides: Any) -> Algorithm:
    """Build a named algorithm with some fields exchanged.

    Args:
        name: one of ``list_presets()``.
        learning_rate: of actor and critic, where given; the temperature keeps its own.
        **overrides: fields of ``Algorithm``; those that are None keep the preset's value.

    Raises:
        UserError: unknown name or field, or a value that cannot work.
    """
    by_name = {preset.name: preset for preset in _PRESETS}
    if name not in by_name:
        raise UserError(f"unknown algorithm {name!r}{suggest(name, by_name)} (`surefoot algorithms` lists all)")
    algorithm = by_name[name].build()
    if learning_rate is not None:
        algorithm = algorithm.replace(
            actor_optimizer=dataclasses.replace(algorithm.actor_optimizer, learning_rate=learning_rate),
            critic_optimizer=dataclasses.replace(algorithm.critic_optimizer, learning_rate=learning_rate),
        )
    return algorithm.replace(**{field: value for field, value in overrides.items() if value is not None})


__all__ = ["PresetInfo", "crossq", "crossq_wn", "crossq_wn_code", "crossq_wn_r", "get_preset", "list_presets", "sac"]
