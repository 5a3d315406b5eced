"""Configuration of a training run: the one description of every setting."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from surefoot.engine import Engine
from surefoot.errors import UserError, suggest
from surefoot.keywords import check_keywords
from surefoot.machine import PrecisionChoice
from surefoot.misplaced import FIELDS, SETTINGS, explanation
from surefoot.runs.layout import absolute
from surefoot.whole_numbers import whole_number

if TYPE_CHECKING:
    from surefoot.algorithms.config import Algorithm

MAX_TRANSITIONS = 1_000_000
"""Default limit of transitions in each seed's replay buffer."""


MAX_COUNT = 10**15
"""Largest value of a setting: counters, and their products with other settings, then fit into 64 bits."""


@dataclass(frozen=True)
class Setting:
    """Description of one setting. Command line, config.json and documentation are derived from it.

    Attributes:
        name: Field of ``TrainConfig``.
        kind: Type of its values: int, bool, str, Path, a Literal, dict, or a tuple of texts.
        default: Value of a run that does not set it.
        optional: Whether None is allowed.
        meaning: Meaning, as one phrase or sentence.
        unit: Unit of its values in upper case, or what they are; empty for flags.
        hint: Text of the default, where the value None does not explain itself.
        minimum: Smallest value allowed; None for no bound. The largest is ``MAX_COUNT``.
        resume: Whether a resumed run may change it.
        recorded: Whether config.json has an entry for it.
    """

    name: str
    kind: Any
    default: Any
    optional: bool
    meaning: str
    unit: str
    hint: str
    minimum: int | None
    resume: bool
    recorded: bool

    def validate(self, value: Any) -> Any:
        """Return a value in the setting's type.

        Raises:
            UserError: The value is not of that type, or below the minimum.
        """
        if value is None and self.optional:
            return None
        if self.kind is int:
            number = whole_number(self.name, value, self.minimum)
            return whole_number(self.name, number, high=MAX_COUNT)
        if self.kind is bool and not isinstance(value, bool):
            raise UserError(f"{self.name} must be True or False, got {value!r:.200}")
        elif get_origin(self.kind) is Literal and value not in (choices := get_args(self.kind)):
            raise UserError(f"{self.name} must be one of {', '.join(choices)}, got {value!r:.200}")
        elif get_origin(self.kind) is dict:
            return check_keywords(value, self.name) or None
        elif get_origin(self.kind) is tuple:
            texts = value.split(",") if isinstance(value, str) else value
            if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) and text for text in texts):
                return tuple(dict.fromkeys(text.strip() for text in texts))
            raise UserError(f"{self.name} must be one or more keys, got {value!r:.200}")
        elif self.kind in (Path, str):
            try:
                text = os.fspath(value)
                if isinstance(text, str) and b"\0" not in os.fsencode(text):
                    return self.kind(text)
            except (TypeError, UnicodeEncodeError):
                pass
            raise UserError(f"{self.name} must be a path, got {value!r:.200}")
        return value


def _setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    hint: str = "",
    minimum: int | None = None,
    resume: bool = False,
    recorded: bool = True,
) -> Any:
    """Return a dataclass field that carries a ``Setting``."""
    description = {"meaning": meaning, "unit": unit, "hint": hint, "minimum": minimum, "resume": resume}
    return dataclasses.field(default=default, metadata=description | {"recorded": recorded})


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of one training run.

    The table of settings, with their meaning, units, defaults and whether a resumed run may change them, is in the
    command line's reference.

    Attributes:
        task: Task name, registered Gymnasium id, or zero-argument callable that returns a gymnasium.Env.
        algorithm: Composition to train.
    """

    task: str | Callable[[], Any]
    algorithm: Algorithm
    num_seeds: int = _setting(1, "Independent agents, trained together in this process.", unit="AGENTS", minimum=1)
    num_envs: int = _setting(
        1,
        "Environments per seed, stepped together. All of their steps count as env steps, and the UTD is gradient "
        "updates per transition.",
        unit="ENVIRONMENTS",
        minimum=1,
    )
    engine: Engine = _setting(
        "suite",
        "What steps the environments. suite: the task's own package; envpool: EnvPool's C++ threads, for tasks that "
        "are the same in both; jax: the compiled program that trains, for environments written in JAX.",
        unit="ENGINE",
    )
    seed: int = _setting(0, "First training seed; the agents use SEED, SEED + 1 and so on.", unit="SEED", minimum=0)
    env_steps: int = _setting(
        1_000_000,
        "Simulator control steps per seed, action repeats included; a resumed run may only increase it.",
        unit="ENV_STEPS",
        minimum=1,
        resume=True,
    )
    evaluate_every: int = _setting(
        25_000,
        "Interval between evaluations; the first and the last step are always evaluated.",
        unit="ENV_STEPS",
        minimum=1,
        resume=True,
    )
    evaluation_episodes: int = _setting(
        5, "Episodes per seed and evaluation, with the deterministic action.", unit="EPISODES", minimum=1, resume=True
    )
    checkpoint_every: int = _setting(
        25_000,
        "Interval between checkpoints; the last step always makes one.",
        unit="ENV_STEPS",
        minimum=1,
        resume=True,
    )
    log_every: int = _setting(1_000, "Interval between rows of training.csv.", unit="ENV_STEPS", minimum=1, resume=True)
    diagnose_every: int = _setting(
        25_000,
        "Interval between rows of diagnostics.csv (norms, effective learning rates, dead units, Q bias); 0 for none.",
        unit="ENV_STEPS",
        minimum=0,
        resume=True,
    )
    precision: PrecisionChoice = _setting(
        "auto",
        "Precision of the factors of matrix products in updates. bf16 (hidden layers) and, on NVIDIA GPUs, "
        "tf32 (hidden layers and heads) are faster than float32 where the device has them; sums, a first layer without "
        "a normalisation before it, and everything else stay in float32. auto chooses the fastest of the device when "
        "the run is created, and the run keeps it.",
    )
    overlap: bool = _setting(
        False,
        "Step the environments while the device updates. Each action then comes from a policy one agent step "
        "older; off is exactly the published algorithm.",
    )
    curvature: bool = _setting(
        False,
        "Also measure the curvature of the critic's loss in diagnostics.csv, at the cost of about 120 gradients "
        "per row.",
        resume=True,
    )
    replay_capacity: int | None = _setting(
        None,
        "Transitions kept in each seed's replay buffer.",
        unit="TRANSITIONS",
        hint="the run's agent steps and initial transitions, at most 1_000_000",
    )
    env_workers: int | None = _setting(
        None,
        "Processes that step environments; 0 steps them in this one. With EnvPool, its threads; 0 for one per core. "
        "Without effect for engine jax.",
        unit="PROCESSES",
        minimum=0,
        resume=True,
        hint="chosen from the number of cores and seeds",
    )
    out: Path | None = _setting(
        None, "Run directory to create.", unit="PATH", hint="runs/TASK-ALGORITHM-NUMBER", recorded=False
    )
    overwrite: bool = _setting(False, "Replace a run that exists in the run directory.", recorded=False)
    env_set: dict[str, Any] | None = _setting(
        None,
        "Keywords with which the environment is made, such as continuous=true: values as in TOML, or texts without "
        "quotes. They are part of the task's name.",
        unit="KEY=VALUE",
        hint="none",
    )
    actor_keys: tuple[str, ...] | None = _setting(
        None,
        "Keys of a Dict observation that the policy receives, such as state,goal. Saved policies need only these.",
        unit="KEY,KEY",
        hint="all",
    )
    critic_keys: tuple[str, ...] | None = _setting(
        None, "Keys of a Dict observation that the critics receive.", unit="KEY,KEY", hint="all"
    )
    init_from: Path | None = _setting(
        None,
        "Run directory whose networks and temperature the agents start with.",
        unit="PATH",
        hint="fresh networks",
        recorded=False,
    )
    init_replay: bool = _setting(
        False,
        "Also start with that run's newest transitions in the replay buffer; they count towards the warm-up.",
        recorded=False,
    )
    prefill: str | None = _setting(
        None,
        "Transitions in the replay buffer before the first step: an .npz file, or the id or folder of a Minari "
        "dataset; they count towards the warm-up.",
        unit="DATASET",
        hint="an empty replay buffer",
        recorded=False,
    )

    def __post_init__(self) -> None:
        """Validate every setting, then their combinations."""
        for setting in settings():
            object.__setattr__(self, setting.name, setting.validate(getattr(self, setting.name)))
        if self.num_seeds >= 2**31:
            raise UserError(f"num_seeds must be below 2**31, got {self.num_seeds}")
        if self.seed >= 2**31 - self.num_seeds:
            raise UserError(f"seed must be between 0 and 2**31 - num_seeds - 1, got {self.seed}")
        if self.replay_capacity is not None and self.replay_capacity < self.algorithm.warmup_transitions:
            raise UserError(
                f"replay_capacity must hold at least the warm-up of {self.algorithm.warmup_transitions} transitions, "
                f"got {self.replay_capacity}"
            )
        if self.init_replay and self.init_from is None:
            raise UserError("init_replay needs init_from, the run whose transitions to start with")
        if self.init_replay and self.prefill is not None:
            raise UserError("init_replay and prefill both fill the replay buffer: choose one")
        if (
            self.overwrite
            and self.out
            and self.init_from
            and os.path.realpath(absolute(self.out)) == os.path.realpath(absolute(self.init_from))
        ):
            raise UserError(f"init_from {self.init_from} is the run that overwrite would replace: choose another out")


def check_names(given: Mapping[str, Any], *, algorithm: str = "", resume: bool = False) -> None:
    """Validate the names of settings given to ``train`` or ``resume``.

    Args:
        given: Settings by name.
        algorithm: Name of the algorithm to train, for the hint about a setting that belongs to it.
        resume: Whether they are given to ``resume``.

    Raises:
        UserError: One is not a setting, or not one that a resumed run may change.
    """
    names = [setting.name for setting in settings() if setting.resume or not resume]
    for name in sorted(set(given) - set(names)):
        if not resume:
            end = explanation(
                algorithm or "train",
                name,
                given[name],
                ["task", "algorithm", "observer", "callbacks", "skip_check", *names],
            )
            raise UserError(f"train has no setting {name!r}{end}")
        if name in (*FIELDS, *SETTINGS, "algorithm"):
            raise UserError(
                f"resume cannot change {name!r}: a run keeps the algorithm and the settings that it was started with, "
                f"except {', '.join(names)}"
            )
        raise UserError(f"resume cannot change {name!r}, expected one of {', '.join(names)}{suggest(name, names)}")


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Return the settings of a run in the order of ``TrainConfig``'s fields; task and algorithm are none."""
    # The class Algorithm imports JAX, which the command line loads only to train.
    hints = get_type_hints(TrainConfig, localns={"Algorithm": Any})
    found = []
    for field in dataclasses.fields(TrainConfig):
        if field.metadata:
            kinds = get_args(hints[field.name]) if type(None) in get_args(hints[field.name]) else (hints[field.name],)
            found.append(Setting(field.name, kinds[0], field.default, len(kinds) > 1, **field.metadata))
    return tuple(found)
