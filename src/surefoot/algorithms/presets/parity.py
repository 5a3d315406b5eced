"""Comparison of the presets with their authors' released code: what was compared, and what still differs."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Comparison of a preset with its authors' released code, as measured by the tests.

    Attributes:
        repository: Repository on GitHub.
        revision: Commit.
        updates: Gradient updates compared.
        arrays: Arrays compared after each update, such as parameters, statistics and losses.
        difference: Largest difference, relative to the largest entry of its array, with the update's deviations put in.
    """

    repository: str
    revision: str
    updates: int
    arrays: int
    difference: float

    @property
    def line(self) -> str:
        """The comparison in one line."""
        return (
            f"compared with {self.repository} {self.revision}: {self.arrays} arrays over {self.updates} updates agree "
            f"to {self.difference:.0e}"
        )


@dataclass(frozen=True)
class Deviation:
    """A difference between presets and their authors' released code that stays.

    Attributes:
        name: Name for reference.
        presets: Names of the presets.
        what: What the code does, and what the preset does.
        reason: Which side is right, and why.
        effect: What it changes in a run.
        in_update: Whether it changes the numbers of a single update; the tests then show that nothing else does.
    """

    name: str
    presets: tuple[str, ...]
    what: str
    reason: str
    effect: str
    in_update: bool


_T1 = ("crossq", "crossq-wn", "crossq-wn-r")

DEVIATIONS = (
    Deviation(
        "table-values",
        (*_T1, "sac"),
        "the values that the paper's table prints, such as the learning rates, replace those of the code",
        "the presets cite the table; crossq-wn-code has the values of the code",
        "slower learning in short runs from temperature 1.0; for sac only the target entropy",
        in_update=True,
    ),
    Deviation(
        "table-actor-statistics",
        _T1,
        "the code updates the actor's running statistics in every update, the preset where the policy is updated",
        "the paper does not say; crossq-wn-code has the code's",
        "statistics that average over three times as many updates",
        in_update=True,
    ),
    Deviation(
        "table-heads",
        ("crossq-wn", "crossq-wn-r"),
        "the code projects the heads' kernels although its configuration excludes them, the preset does not",
        "the paper projects hidden layers only; crossq-wn-code has the code's",
        "heads whose scale is free",
        in_update=True,
    ),
    Deviation(
        "redq-policy-critic",
        ("redq",),
        "the code's policy loss uses the critics before their step of the same update, the preset those after it",
        "the preset: algorithm 1 of the paper updates the policy last",
        "one of twenty critic steps, once per decision",
        in_update=True,
    ),
    Deviation(
        "redq-alpha",
        ("redq",),
        "the code's alpha is 0.2 until the first policy update, whatever log alpha is; the preset's is exp(log alpha)",
        "the preset: the constructor overwrites alpha by mistake",
        "the first twenty updates",
        in_update=True,
    ),
    Deviation(
        "log-epsilon",
        ("redq", "droq"),
        "the code computes log(1 - a^2 + 1e-6), the preset log(1 - a^2) without loss of digits",
        "the preset: it is the density of the action",
        "the log-density of actions within 1e-6 of the bounds",
        in_update=True,
    ),
    Deviation(
        "droq-policy-batch",
        ("droq",),
        "the code draws another batch for the policy, the preset uses that of the decision's last critic update",
        "either: both are uniform samples",
        "none on average",
        in_update=True,
    ),
    Deviation(
        "policy-phase",
        (*_T1, "crossq-wn-code", "xqc"),
        "the code updates the policy in updates 1, 4, 7, ..., the preset in updates 3, 6, 9, ...",
        "either",
        "two updates at the start of a run",
        in_update=False,
    ),
    Deviation(
        "first-update",
        (*_T1, "crossq-wn-code", "xqc", "simba", "bro", "sr-sac"),
        "the code starts its updates one decision earlier",
        "either",
        "one decision at the start of a run",
        in_update=False,
    ),
    Deviation(
        "schedule-length",
        ("crossq-wn-code", "xqc", "flashsac"),
        "the code's learning-rate schedules have the length of the run, the preset's a fixed one",
        "either: with a fixed length, a run can be extended",
        "runs of another length than a million env steps",
        in_update=False,
    ),
    Deviation(
        "reset-seeds",
        ("bro",),
        "the code's resets repeat the run's first initialisation, the preset's draw a new one",
        "the preset: independent of the first weights",
        "other initial weights after a reset",
        in_update=False,
    ),
    Deviation(
        "reset-script",
        ("sr-sac",),
        "the repository's parallel script resets after 2.56M updates with a lag that accumulates (90,001, 175,001, "
        "260,001, ...), the preset on multiples of 80,000 env steps from the start of the run",
        "the preset: so does the script of the published curves (evgenii-nikishin/rl_with_resets)",
        "times of resets",
        in_update=False,
    ),
    Deviation(
        "myosuite-termination",
        ("bro",),
        "the code ignores termination on MyoSuite, the preset's bootstrap stops there",
        "the preset: the state's value is zero",
        "MyoSuite tasks that terminate",
        in_update=False,
    ),
    Deviation(
        "statistics-precision",
        ("simba",),
        "the code keeps observation statistics in float64, the preset in float32 with compensated sums",
        "either: both hold where the mean is a thousand times the deviation",
        "digits below float32",
        in_update=False,
    ),
    Deviation(
        "learning-rate-by-suite",
        ("crossq-2024",),
        "the code has learning rate 1e-3 on Gymnasium's MuJoCo tasks and 8e-4 on DM Control, the preset 8e-4",
        "by suite: crossq_2024(learning_rate=1e-3) has the other",
        "MuJoCo tasks of Gymnasium",
        in_update=True,
    ),
    Deviation(
        "one-environment",
        ("flashsac",),
        "the code can also train 1,024 environments side by side, the preset has the values for one simulator",
        "either: the code's values for simulators on a CPU are those of the published curves",
        "none with one simulator",
        in_update=False,
    ),
    Deviation(
        "initialisation",
        ("redq", "droq"),
        "the code initialises with Xavier's uniform distribution, the preset with orthogonal matrices",
        "either: the papers do not say",
        "the start of a run",
        in_update=False,
    ),
    Deviation(
        "per-task-values",
        ("redq", "droq"),
        "the code has target entropies (and DroQ's dropout rates) per MuJoCo task, the preset -A (and 0.01)",
        "either: there are none for other suites",
        "MuJoCo tasks of Gymnasium",
        in_update=False,
    ),
)
"""Every known difference between a preset and its authors' released code."""


@functools.cache
def comparisons() -> dict[str, Comparison]:
    """Return the comparisons by preset; a preset without released code has none."""
    text = resources.files(__package__).joinpath("parity.json").read_text(encoding="utf-8")
    return {name: Comparison(**values) for name, values in json.loads(text).items()}


def deviations(preset: str) -> tuple[Deviation, ...]:
    """Return the deviations of a preset.

    Args:
        preset: Name of the preset.
    """
    return tuple(deviation for deviation in DEVIATIONS if preset in deviation.presets)


def line(preset: str) -> str:
    """Return the comparison of a preset with its authors' code in one line.

    Args:
        preset: Name of the preset.
    """
    comparison, names = comparisons().get(preset), ", ".join(deviation.name for deviation in deviations(preset))
    found = "not compared with other code: none has been released" if comparison is None else comparison.line
    return f"{found}; known deviations: {names}" if names else found


def to_data(preset: str) -> dict[str, Any]:
    """Return the comparison and the deviations of a preset as JSON data.

    Args:
        preset: Name of the preset.
    """
    comparison = comparisons().get(preset)
    return {
        "comparison": None if comparison is None else dataclasses.asdict(comparison),
        "deviations": [dataclasses.asdict(deviation) for deviation in deviations(preset)],
    }
