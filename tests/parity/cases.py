"""The files of the authors' numbers, and the algorithm that each is compared with."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.algorithms import AdamW, Algorithm, CosineDecay, LinearDecay, QuantileHuber, SquaredError
from surefoot.algorithms.presets import get_preset
from surefoot.networks import MLP, BroNet, FlashSACNet, SimBaNet

DATA = Path(__file__).with_name("data")

JAXRL = "ikostrikov/jaxrl 4a9abaf"
SR_SAC = "proceduralia/high_replay_ratio_continuous_control 7fb0f04"
BRO = "naumix/BiggerRegularizedOptimistic 5870a13"
XQC = "danielpalenicek/xqc 9a6832b"
SIMBA = "SonyResearch/simba 7d0358b"
CROSSQ = "adityab/CrossQ a318a26"
REDQ = "watchernyu/REDQ 7b5d1bf"
FLASHSAC = "Holiday-Robot/FlashSAC, 2026-04-09"
DROQ = "TakuyaHiraoka/Dropout-Q-Functions f89a79a"


@dataclass(frozen=True)
class Case:
    """A file and what it is compared with.

    Attributes:
        file: Name of the file, without its ending.
        preset: Name of the preset.
        code: Repository and revision that made the file.
        changes: Fields of the preset that are replaced, apart from sizes and the length of schedules.
        peculiarities: Names of the deviations in ``deviations.py`` that are put in for this file.
        tolerance: Largest relative difference allowed.
        losses_tolerance: The same for losses, gradient norms and actions.
        recorded: Whether the file is the preset's entry in the record of comparisons.
    """

    file: str
    preset: str
    code: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    peculiarities: tuple[str, ...] = ()
    tolerance: float = 1e-9
    recorded: bool = False


_T1_NOT_JAXRL = {"critic_loss": SquaredError(1.0)}

CASES = (
    Case("sac_jaxrl", "sac", JAXRL, _T1_NOT_JAXRL, recorded=True),
    Case("sr_sac", "sr-sac", SR_SAC, recorded=True),
    Case("bro", "bro", BRO, recorded=True),
    Case("crossq", "crossq", XQC, {"actor_statistics": "all-updates"}, recorded=True),
    Case("crossq_wn_spec", "crossq-wn", XQC, {"actor_statistics": "all-updates"}, recorded=True),
    Case("crossq_wn_asrun", "crossq-wn-code", XQC, recorded=True),
    Case("xqc", "xqc", XQC, {"reward_scaling": None}, recorded=True),
    Case("simba", "simba", SIMBA, recorded=True),
    Case("simba_cdq", "simba", SIMBA),
    Case("crossq_2024", "crossq-2024", CROSSQ, recorded=True),
    Case("crossq_2024_small_epsilon", "crossq-2024", CROSSQ),
    Case("redq_spec", "redq", REDQ, peculiarities=("redq-policy-critic",)),
    Case("redq_asrun", "redq", REDQ, peculiarities=("redq-policy-critic", "log-epsilon", "redq-alpha"), recorded=True),
    Case("droq_spec", "droq", DROQ, peculiarities=("droq-policy-batch",)),
    Case("droq_asrun", "droq", DROQ, peculiarities=("droq-policy-batch", "log-epsilon"), recorded=True),
    Case("flashsac", "flashsac", FLASHSAC, {"reward_scaling": None}, recorded=True),
)


@functools.cache
def read(file: str) -> dict[str, np.ndarray]:
    """Return a file's arrays, with the names of part 1 for all of them."""
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


def settings(file: str) -> dict[str, Any]:
    """Return the settings that a file states."""
    return json.loads(str(read(file).get("settings", "{}")))


def algorithm_of(case: Case) -> Algorithm:
    """Return the preset at the file's sizes."""
    arrays, stated = read(case.file), settings(case.file)
    utd = {"crossq": 2, "crossq_wn_spec": 2}.get(case.file, stated.get("utd"))
    algorithm = get_preset(case.preset, utd=utd)
    algorithm = algorithm.replace(
        actor=_at_size(algorithm.actor, arrays, "init/actor/params/torso"),
        critic=_at_size(algorithm.critic, arrays, "init/critic/params/torso"),
        num_critics=arrays["init/critic/params/head/bias"].shape[0],
        **case.changes,
    )
    if isinstance(algorithm.critic_loss, QuantileHuber):
        algorithm = algorithm.replace(critic_loss=QuantileHuber(arrays["init/critic/params/head/bias"].shape[-1]))
    if (bins := stated.get("bins")) is not None:
        algorithm = algorithm_with(algorithm, {"critic_loss.num_atoms": bins})
    if algorithm.optimism is not None:
        torso = _at_size(algorithm.optimism.torso, arrays, "init/optimist/params/torso")
        algorithm = algorithm.replace(optimism=dataclasses.replace(algorithm.optimism, torso=torso))
    if (epsilon := stated.get("epsilon")) is not None:
        assert isinstance(algorithm.critic, MLP)
        norm = dataclasses.replace(algorithm.critic.norm, epsilon=epsilon)
        algorithm = algorithm.replace(
            actor=dataclasses.replace(algorithm.actor, norm=norm),
            critic=dataclasses.replace(algorithm.critic, norm=norm),
        )
    if (rate := stated.get("dropout")) is not None:
        algorithm = algorithm.replace(critic=dataclasses.replace(algorithm.critic, dropout=rate))
    return algorithm


def _at_size(torso: Any, arrays: dict[str, np.ndarray], prefix: str) -> Any:
    match torso:
        case MLP():
            kernels = sum(f"{prefix}/dense_{i}/kernel" in arrays for i in range(10))
            widths = tuple(arrays[f"{prefix}/dense_{i}/kernel"].shape[-1] for i in range(kernels))
            return dataclasses.replace(torso, widths=widths)
        case BroNet() | SimBaNet() | FlashSACNet():
            return dataclasses.replace(torso, width=arrays[f"{prefix}/dense/kernel"].shape[-1])


def fast_schedules(case: Case, algorithm: Algorithm) -> Algorithm:
    """Return the algorithm with the short schedules and the settings of XQC's code, in its files."""
    if case.code != XQC:
        if case.code == CROSSQ:  # the rates of its MuJoCo script
            return algorithm_with(algorithm, {f"{name}.learning_rate": 1e-3 for name in OPTIMIZERS})
        if case.code == FLASHSAC:  # 40 steps of each optimiser
            lengths = zip(OPTIMIZERS, (40, 80, 80), strict=True)
            rates = {f"{name}.learning_rate": CosineDecay(3e-4, 1.5e-4, steps) for name, steps in lengths}
            return algorithm_with(algorithm, rates)
        if case.code == JAXRL:
            return algorithm_with(algorithm, {"temperature.target_entropy": -0.5})
        return algorithm

    def schedule(optimizer: AdamW, agent_steps: int) -> AdamW:
        return dataclasses.replace(optimizer, learning_rate=LinearDecay(3e-4, 3e-5, agent_steps))

    temperature = dataclasses.replace(
        algorithm.temperature, target_entropy=-0.5, optimizer=schedule(algorithm.temperature.optimizer, 9)
    )
    return algorithm.replace(
        critic_optimizer=schedule(algorithm.critic_optimizer, 3),
        actor_optimizer=schedule(algorithm.actor_optimizer, 9),
        temperature=temperature,
    )


OPTIMIZERS = ("critic_optimizer", "actor_optimizer", "temperature.optimizer")


def algorithm_with(part: Any, changes: dict[str, Any]) -> Any:
    """Return a copy with values replaced by their dotted names."""
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        new = algorithm_with(getattr(part, name), {rest: value}) if rest else value
        part = dataclasses.replace(part, **{name: new})
    return part
