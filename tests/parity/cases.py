"""The files of the authors' numbers, and the algorithm that each is compared with."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.algorithms import Algorithm, CosineDecay, LinearDecay, QuantileHuber, SquaredError, UnitNorm
from surefoot.algorithms.presets import crossq_2024, crossq_wn_code, get_preset
from surefoot.networks import MLP, BroNet, FlashSACNet, SimBaNet

DATA = Path(__file__).with_name("data")

JAXRL = ("ikostrikov/jaxrl", "4a9abaf")
SR_SAC = ("proceduralia/high_replay_ratio_continuous_control", "7fb0f04")
BRO = ("naumix/BiggerRegularizedOptimistic", "5870a13")
XQC = ("danielpalenicek/xqc", "9a6832b")
SIMBA = ("SonyResearch/simba", "7d0358b")
CROSSQ = ("adityab/CrossQ", "a318a26")
REDQ = ("watchernyu/REDQ", "7b5d1bf")
FLASHSAC = ("Holiday-Robot/FlashSAC", "2026-04-09")
DROQ = ("TakuyaHiraoka/Dropout-Q-Functions", "f89a79a")


@dataclass(frozen=True)
class Case:
    """A file and the preset that is compared with it.

    Attributes:
        preset: Name of the preset.
        file: Name of the file, without its ending.
        code: Repository and revision that made the file.
        deviations: Names of the deviations from the code, in which the code's behaviour is put in.
        recorded: Whether the result is the preset's entry in the record of comparisons.
    """

    preset: str
    file: str
    code: tuple[str, str]
    deviations: tuple[str, ...] = ()
    recorded: bool = False

    def __str__(self) -> str:
        return f"{self.preset}, {self.file}"


_TABLE = ("table-values", "table-actor-statistics")
_REDQ = ("redq-policy-critic", "log-epsilon", "redq-alpha")

CASES = (
    Case("sac", "sac_jaxrl", JAXRL, ("table-values",), recorded=True),
    Case("sr-sac", "sr_sac", SR_SAC, recorded=True),
    Case("bro", "bro", BRO, recorded=True),
    Case("crossq", "crossq", XQC, _TABLE, recorded=True),
    Case("crossq-wn", "crossq_wn_asrun", XQC, (*_TABLE, "table-heads"), recorded=True),
    Case("crossq-wn", "crossq_wn_spec", XQC, _TABLE),
    Case("crossq-wn-r", "crossq_wn_asrun", XQC, (*_TABLE, "table-heads"), recorded=True),
    Case("crossq-wn-code", "crossq_wn_asrun", XQC, recorded=True),
    Case("xqc", "xqc", XQC, recorded=True),
    Case("simba", "simba", SIMBA, recorded=True),
    Case("simba", "simba_cdq", SIMBA),
    Case("crossq-2024", "crossq_2024", CROSSQ, ("learning-rate-by-suite",), recorded=True),
    Case("crossq-2024", "crossq_2024_small_epsilon", CROSSQ, ("learning-rate-by-suite",)),
    Case("redq", "redq_asrun", REDQ, _REDQ, recorded=True),
    Case("redq", "redq_spec", REDQ, ("redq-policy-critic",)),
    Case("droq", "droq_asrun", DROQ, ("droq-policy-batch", "log-epsilon"), recorded=True),
    Case("droq", "droq_spec", DROQ, ("droq-policy-batch",)),
    Case("flashsac", "flashsac", FLASHSAC, recorded=True),
)


# -------------------------------------------------------------------- files


@functools.cache
def read(file: str) -> dict[str, np.ndarray]:
    """Return a file's arrays, under the same names whatever the file."""
    with np.load(DATA / f"{file}.npz") as stored:
        return {_common_name(name): stored[name] for name in stored.files}


def _common_name(name: str) -> str:
    """Return "after/actor/params/torso/dense_0/kernel" for "after/actor/torso/dense_0/kernel", and so on."""
    when, _, rest = name.partition("/")
    network, _, path = rest.partition("/")
    if when in ("init", "start", "after"):
        if path.startswith("batch_stats/"):
            return f"{when}/{network}/{path.removeprefix('batch_')}"
        if network in ("actor", "critic") and not path.startswith(("params/", "stats/")):
            return f"{when}/{network}/params/{path}"
        if network in ("actor_stats", "critic_stats"):
            return f"{when}/{network.removesuffix('_stats')}/stats/{path}"
        if network == "target_critic":
            return f"{when}/target/{path.removeprefix('params/')}"
    renamed = {"noise/critic": "noise/next_action", "noise/actor": "noise/policy_action"}
    return renamed.get(name, name.replace("metrics/", "after/"))


# -------------------------------------------------------------------- algorithms

SCHEDULE_SCALE = {LinearDecay: 3 / 500_000, CosineDecay: 40 / 1_000_000}
"""The files have short schedules: 6 steps of each optimiser at UTD 2 (XQC), and 40 at UTD 1 (FlashSAC)."""


def algorithm_of(case: Case) -> Algorithm:
    """Return the preset at the file's sizes, with the code's values where the case has a deviation in values."""
    arrays = read(case.file)
    stated = json.loads(str(arrays.get("settings", "{}")))
    algorithm = get_preset(case.preset, utd=stated.get("utd", 2 if case.code == XQC else None))
    algorithm = algorithm.replace(
        actor=_at_size(algorithm.actor, arrays, "init/actor/params/torso"),
        critic=_at_size(algorithm.critic, arrays, "init/critic/params/torso"),
        num_critics=arrays["init/critic/params/head/bias"].shape[0],
    )
    if isinstance(algorithm.critic_loss, QuantileHuber):
        algorithm = algorithm.replace(critic_loss=QuantileHuber(arrays["init/critic/params/head/bias"].shape[-1]))
    if "bins" in stated:
        algorithm = with_values(algorithm, {"critic_loss.num_atoms": stated["bins"]})
    if algorithm.optimism is not None:
        torso = _at_size(algorithm.optimism.torso, arrays, "init/optimist/params/torso")
        algorithm = algorithm.replace(optimism=dataclasses.replace(algorithm.optimism, torso=torso))
    if case.file in ("xqc", "flashsac"):  # their rewards are already scaled
        algorithm = algorithm.replace(reward_scaling=None)
    stated = {
        f"{network}.norm.epsilon": stated["epsilon"] for network in ("actor", "critic") if "epsilon" in stated
    } | ({"critic.dropout": stated["dropout"]} if "dropout" in stated else {})
    algorithm = with_values(algorithm, stated)
    for deviation in case.deviations:
        if deviation in VALUES:
            algorithm = VALUES[deviation](algorithm)
    return _with_short_schedules(algorithm)


def _table_values(algorithm: Algorithm) -> Algorithm:
    """Return the algorithm with the released values, where a preset has those of the paper's table."""
    if algorithm.name == "sac":
        return with_values(algorithm, {"critic_loss": SquaredError(1.0), "temperature.target_entropy": -0.5})
    released = crossq_wn_code(algorithm.utd)
    return with_values(
        algorithm,
        {
            "critic_optimizer.learning_rate": released.critic_optimizer.learning_rate,
            "actor_optimizer.learning_rate": released.actor_optimizer.learning_rate,
            "temperature": released.temperature,
        },
    )


def _mujoco_rates(algorithm: Algorithm) -> Algorithm:
    other = crossq_2024(learning_rate=1e-3)
    return algorithm.replace(**{name: getattr(other, name) for name in OPTIMIZED})


OPTIMIZED = ("critic_optimizer", "actor_optimizer", "temperature")

VALUES: dict[str, Callable[[Algorithm], Algorithm]] = {
    "table-values": _table_values,
    "table-actor-statistics": lambda algorithm: algorithm.replace(actor_statistics="all-updates"),
    "table-heads": lambda algorithm: algorithm.replace(weight_constraint=UnitNorm("all")),
    "learning-rate-by-suite": _mujoco_rates,
}
"""The deviations that are values of the algorithm, with the change to the code's; ``replay`` has the others."""


def with_values(part: Any, changes: dict[str, Any]) -> Any:
    """Return a copy with values replaced by their dotted names."""
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        new = with_values(getattr(part, name), {rest: value}) if rest else value
        part = dataclasses.replace(part, **{name: new})
    return part


def _with_short_schedules(algorithm: Algorithm) -> Algorithm:
    for path in ("critic_optimizer", "actor_optimizer", "temperature.optimizer"):
        optimizer: Any = functools.reduce(getattr, path.split("."), algorithm)
        if (scale := SCHEDULE_SCALE.get(type(decay := optimizer.learning_rate))) is not None:
            short = dataclasses.replace(decay, agent_steps=round(decay.agent_steps * scale))
            algorithm = with_values(algorithm, {f"{path}.learning_rate": short})
    return algorithm


def _at_size(torso: Any, arrays: dict[str, np.ndarray], prefix: str) -> Any:
    match torso:
        case MLP():
            kernels = sum(f"{prefix}/dense_{i}/kernel" in arrays for i in range(10))
            widths = tuple(arrays[f"{prefix}/dense_{i}/kernel"].shape[-1] for i in range(kernels))
            return dataclasses.replace(torso, widths=widths)
        case BroNet() | SimBaNet() | FlashSACNet():
            return dataclasses.replace(torso, width=arrays[f"{prefix}/dense/kernel"].shape[-1])
