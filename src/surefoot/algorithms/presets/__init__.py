"""Named algorithms: one list, crossed with every contract test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import bro_preset, crossq_presets, sac_presets, simba_preset, xqc_preset
from surefoot.algorithms.presets.bro_preset import bro
from surefoot.algorithms.presets.crossq_presets import (
    crossq,
    crossq_2024,
    crossq_wn,
    crossq_wn_code,
    crossq_wn_r,
    td3_wn,
)
from surefoot.algorithms.presets.sac_presets import droq, redq, sac, sr_sac
from surefoot.algorithms.presets.simba_preset import simba
from surefoot.algorithms.presets.xqc_preset import xqc
from surefoot.errors import UserError, suggest

_ARXIV = "https://arxiv.org/abs/"
_SCALING = f"{_ARXIV}2502.07523"


@dataclass(frozen=True)
class PresetInfo:
    """A named algorithm.

    Attributes:
        name: as the command line takes it.
        summary: one line.
        paper: where its values come from.
        url: that paper.
        build: makes the composition; takes ``utd``.
        parameters: how many are trained, targets left out, at cheetah-run's 17 observations and 6 actions.
        sources: dotted name of a field -> where its value comes from, for all that differs from the neutral setting.
    """

    name: str
    summary: str
    paper: str
    url: str
    build: Callable[..., Algorithm]
    parameters: int
    sources: Mapping[str, str]

    @property
    def utd(self) -> int:
        """Gradient updates per agent step unless told otherwise."""
        return self.build().utd

    def values(self) -> Iterator[tuple[str, Any, str]]:
        """Yield every value: its dotted name, the value, and where it comes from."""
        for path, value in _values(self.build()):
            names = path.split(".")
            prefixes = (".".join(names[:length]) for length in range(len(names), 0, -1))
            yield path, value, next((self.sources[prefix] for prefix in prefixes if prefix in self.sources), NEUTRAL)


NEUTRAL = "neutral"
"""The source of a value that is the learner's own default, plain SAC, or that is absent."""


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


_PRESETS = (
    PresetInfo(
        "crossq-wn",
        "CrossQ with unit-norm weights: stable as the update-to-data ratio grows",
        "Palenicek et al. 2025 (v1, Table 1)",
        _SCALING,
        crossq_wn,
        629_644,
        crossq_presets.CROSSQ_WN_SOURCES,
    ),
    PresetInfo(
        "crossq-wn-r",
        "CrossQ + WN with the revision's learning rate and target entropy",
        "Palenicek et al. 2025 (v2)",
        _SCALING,
        crossq_wn_r,
        629_644,
        crossq_presets.CROSSQ_WN_R_SOURCES,
    ),
    PresetInfo(
        "crossq-wn-code",
        "CrossQ + WN as its authors released it: a low initial temperature, a falling learning rate",
        "Palenicek et al. 2025 (released with XQC, arXiv 2509.25174)",
        _SCALING,
        crossq_wn_code,
        629_644,
        crossq_presets.CROSSQ_WN_CODE_SOURCES,
    ),
    PresetInfo(
        "crossq",
        "Batch-normalised SAC with a joint forward pass and a target network",
        "Palenicek et al. 2025 (v1, Table 1); Bhatt et al. 2024",
        _SCALING,
        crossq,
        629_644,
        crossq_presets.CROSSQ_SOURCES,
    ),
    PresetInfo(
        "crossq-2024",
        "CrossQ as first published: no target network, batch renormalisation, a wide critic",
        "Bhatt et al. 2024",
        f"{_ARXIV}1902.05605",
        crossq_2024,
        8_586_124,
        crossq_presets.CROSSQ_2024_SOURCES,
    ),
    PresetInfo(
        "td3-wn",
        "CrossQ + WN's networks on TD3: a deterministic policy",
        "Palenicek et al. 2025 (v2); Fujimoto et al. 2018",
        _SCALING,
        td3_wn,
        628_102,
        crossq_presets.TD3_WN_SOURCES,
    ),
    PresetInfo(
        "xqc",
        "Deep batch-normalised networks, unit norm everywhere, a categorical critic",
        "Palenicek et al. 2025 (XQC)",
        f"{_ARXIV}2509.25174",
        xqc,
        1_914_452,
        xqc_preset.XQC_SOURCES,
    ),
    PresetInfo(
        "simba",
        "Residual layer-normalised networks on normalised observations",
        "Lee et al. 2025",
        f"{_ARXIV}2410.09754",
        simba,
        4_351_373,
        simba_preset.SIMBA_SOURCES,
    ),
    PresetInfo(
        "bro",
        "Big regularised quantile critics, resets, optimistic exploration",
        "Nauman et al. 2024",
        f"{_ARXIV}2405.16158",
        bro,
        2_520_276,
        bro_preset.BRO_SOURCES,
    ),
    PresetInfo(
        "sr-sac",
        "SAC at UTD 32 with full resets",
        "D'Oro et al. 2023",
        "https://openreview.net/forum?id=OpC-9aBBVJe",
        sr_sac,
        217_870,
        sac_presets.SR_SAC_SOURCES,
    ),
    PresetInfo(
        "redq",
        "SAC with ten critics, of which a random two make the target",
        "Chen et al. 2021",
        f"{_ARXIV}2101.05982",
        redq,
        795_414,
        sac_presets.REDQ_SOURCES,
    ),
    PresetInfo(
        "droq",
        "SAC with dropout and layer normalisation in two critics",
        "Hiraoka et al. 2022",
        f"{_ARXIV}2110.02034",
        droq,
        219_918,
        sac_presets.DROQ_SOURCES,
    ),
    PresetInfo(
        "sac",
        "Soft actor-critic",
        "Palenicek et al. 2025 (v1, Table 1); Haarnoja et al. 2018",
        _SCALING,
        sac,
        217_870,
        sac_presets.SAC_SOURCES,
    ),
)


def list_presets() -> tuple[PresetInfo, ...]:
    """Return every named algorithm, the library's own subject first."""
    return _PRESETS


def find_preset(name: str) -> PresetInfo:
    """Return the named algorithm.

    Args:
        name: one of ``list_presets()``.

    Raises:
        UserError: there is none of this name.
    """
    by_name = {preset.name: preset for preset in _PRESETS}
    if name not in by_name:
        raise UserError(f"unknown algorithm {name!r}{suggest(name, by_name)} (`surefoot algorithms` lists all)")
    return by_name[name]


def get_preset(name: str, *, utd: int | None = None, learning_rate: float | None = None, **overrides: Any) -> Algorithm:
    """Build a named algorithm with some fields exchanged.

    Args:
        name: one of ``list_presets()``.
        utd: gradient updates per agent step, where given; some presets follow it in other fields.
        learning_rate: of actor and critic, where given; the temperature keeps its own.
        **overrides: fields of ``Algorithm``.

    Raises:
        UserError: unknown name or field, or a value that cannot work.
    """
    build = find_preset(name).build
    algorithm = build() if utd is None else build(utd)
    if learning_rate is not None:
        algorithm = algorithm.replace(
            actor_optimizer=dataclasses.replace(algorithm.actor_optimizer, learning_rate=learning_rate),
            critic_optimizer=dataclasses.replace(algorithm.critic_optimizer, learning_rate=learning_rate),
        )
    return algorithm.replace(**overrides)


__all__ = [
    "PresetInfo",
    "bro",
    "crossq",
    "crossq_2024",
    "crossq_wn",
    "crossq_wn_code",
    "crossq_wn_r",
    "droq",
    "find_preset",
    "get_preset",
    "list_presets",
    "redq",
    "sac",
    "simba",
    "sr_sac",
    "td3_wn",
    "xqc",
]
