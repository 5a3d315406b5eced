"""Every update of the authors' released code, compared with the presets array by array.

To record the comparisons again, for the documentation: ``python -m tests.parity.test_parity`` in the repository's root.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import BoundedReturnScaling, Learner, Mean, Min, UnitNorm, held_noise, statistics
from surefoot.algorithms.presets import get_preset, list_presets, parity, xqc
from surefoot.types import EnvSpec
from tests.parity.cases import CASES, VALUES, Case, algorithm_of, read, with_values
from tests.parity.replay import REPLAYED, replay

pytestmark = pytest.mark.usefixtures("x64")

TOLERANCE = 1e-9
"""Optax computes learning-rate schedules in float32, which limits XQC's files; the others agree to 1e-12."""

RECORD = Path(parity.__file__).with_suffix(".json")

INPUTS = (
    *("data/", "noise/", "init/", "start/", "masks/", "subset", "settings", "discount", "update_policy", "seen"),
    *("act/observation", "act/noise", "explore/noise", "reward_scaling/", "zeta_pmf"),
)


def differences(case: Case, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any] | None = None) -> dict[str, float]:
    """Return the largest difference of each array, relative to its largest entry at that update."""
    reference, algorithm = read(case.file), with_values(algorithm_of(case), changes or {})
    found, result = replay(reference, algorithm, case.deviations, monkeypatch), {}
    for name, expected in reference.items():
        if name.startswith(INPUTS) and not name.startswith("init/observations"):
            continue
        own = np.asarray(found[name], float)
        if name in ("after/actor_loss", "after/entropy"):  # only where the policy moves
            moves = ~np.isnan(own)
            own, expected = own[moves], expected[moves] if len(expected) == len(moves) else expected
        assert own.shape == expected.shape, name
        rows = expected.reshape(len(expected), -1) if expected.ndim else expected.reshape(1, 1)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-300)
        result[name] = float((np.abs(own.reshape(rows.shape) - rows).max(axis=1) / scale).max())
    return result


def comparison(case: Case, found: dict[str, float]) -> parity.Comparison:
    updates = len(read(case.file)["data/observation"])
    return parity.Comparison(*case.code, updates=updates, arrays=len(found), difference=max(found.values()))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=str(case), marks=[] if case.recorded else pytest.mark.slow) for case in CASES]
)
def test_every_array_of_every_update_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = differences(case, monkeypatch)
    assert {name: value for name, value in found.items() if not value < TOLERANCE} == {}
    if case.recorded:
        recorded, measured = parity.comparisons()[case.preset], comparison(case, found)
        assert dataclasses.replace(recorded, difference=measured.difference) == measured
        # Rounding depends on the processor.
        assert recorded.difference < max(10.0 * measured.difference, 1e-13)
        assert measured.difference < max(10.0 * recorded.difference, 1e-13)


def test_return_statistics_and_scaled_rewards_agree() -> None:
    arrays = read("xqc_returns")
    learner = Learner(xqc(), EnvSpec(5, 2), float(arrays["discount"]))
    epsilon = learner.algorithm.reward_scaling.epsilon  # type: ignore[union-attr]

    def step(returns: statistics.ReturnMoments, transition: tuple[jax.Array, jax.Array]) -> Any:
        returns = statistics.update_return_moments(returns, *transition, learner.discount)
        scaled = statistics.scale_reward(returns, jnp.asarray(arrays["some_rewards"]), epsilon)
        return returns, (returns.running_return, returns.moments.variance, scaled)

    start = jax.tree.map(lambda x: x.astype(float), statistics.init_return_moments(bounded=False))
    _, (running, variance, scaled) = jax.lax.scan(step, start, (arrays["reward"], arrays["ended"]))
    np.testing.assert_allclose(running, arrays["running_return"], rtol=1e-13)
    np.testing.assert_allclose(variance, arrays["variance"], rtol=1e-12)
    np.testing.assert_allclose(scaled, arrays["scaled"], rtol=1e-12)


def test_bounded_rewards_and_held_noise_agree() -> None:
    arrays, algorithm = read("flashsac"), get_preset("flashsac")
    scaling = algorithm.reward_scaling
    assert isinstance(scaling, BoundedReturnScaling)
    assert algorithm.held_noise is not None
    np.testing.assert_allclose(held_noise.probabilities(algorithm.held_noise), arrays["zeta_pmf"], rtol=1e-12)

    def step(returns: statistics.ReturnMoments, transition: tuple[jax.Array, jax.Array]) -> Any:
        returns = statistics.update_return_moments(returns, *transition, algorithm.discount or 0.0)
        reward = jnp.asarray(arrays["data/reward"][0])
        return returns, statistics.scale_reward_bounded(returns, reward, scaling.bound, scaling.epsilon)

    start = jax.tree.map(lambda x: x.astype(float), statistics.init_return_moments(bounded=True))
    ended = np.maximum(arrays["reward_scaling/terminated"], arrays["reward_scaling/truncated"])
    _, scaled = jax.lax.scan(step, start, (arrays["reward_scaling/reward"], ended))
    np.testing.assert_allclose(scaled, arrays["reward_scaling/scaled_batch"], rtol=1e-12)


# -------------------------------------------------------------------- deviations


def test_deviations_of_the_cases_are_those_of_the_table() -> None:
    """Every deviation that changes an update is put in somewhere, in each of its presets."""
    listed = {(d.name, preset) for d in parity.DEVIATIONS if d.in_update for preset in d.presets}
    assert {(name, case.preset) for case in CASES for name in case.deviations} == listed
    assert VALUES.keys().isdisjoint(REPLAYED)
    assert VALUES.keys() | REPLAYED == {name for name, _ in listed}
    assert len({d.name for d in parity.DEVIATIONS}) == len(parity.DEVIATIONS)
    assert {preset for d in parity.DEVIATIONS for preset in d.presets} <= {preset.name for preset in list_presets()}


NEEDED = [
    pytest.param(case, name, id=f"{name}, {case.file}", marks=[] if name == "redq-alpha" else pytest.mark.slow)
    for name, case in {name: case for case in reversed(CASES) for name in case.deviations}.items()
]


@pytest.mark.parametrize(("case", "name"), NEEDED)
def test_file_shows_each_deviation(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything agrees with all deviations put in, and without one of them it does not."""
    rest = tuple(other for other in case.deviations if other != name)
    assert max(differences(dataclasses.replace(case, deviations=rest), monkeypatch).values()) > 10.0 * TOLERANCE


# -------------------------------------------------------------------- power

MUTATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "sac_jaxrl": ({"target.tau": 0.00505}, {"critic_optimizer.b2": 0.9989}, {"temperature.target_entropy": -0.495}),
    "sr_sac": ({"critic_loss.scale": 0.99}, {"policy.log_std.high": 2.02}, {"actor_optimizer.learning_rate": 3.03e-4}),
    "bro": (
        {"critic_optimizer.weight_decay": 1.01e-2},
        {"optimism.std_scale": 0.7575},
        {"optimism.target_kl": 0.0505},
        {"temperature.optimizer.b1": 0.9},
    ),
    "crossq": ({"critic.norm.momentum": 0.9899}, {"critic_pass": "separate"}, {"critic_optimizer.b1": 0.909}),
    "crossq_wn_spec": ({"critic_optimizer.decay": "all"}, {"weight_constraint": UnitNorm("all")}),
    "crossq_wn_asrun": (
        {"actor_statistics": "policy-updates"},
        {"actor_optimizer.weight_decay": 0.0101},
        {"temperature.optimizer.learning_rate": 1e-4},
        {"actor_optimizer.learning_rate.agent_steps": 3},
        {"weight_constraint": UnitNorm("hidden")},
    ),
    "xqc": ({"critic_loss.low": -5.05}, {"target_reduction": Mean()}, {"critic_optimizer.weight_decay": 0.01}),
    "simba": ({"critic_optimizer.weight_decay": 0.0101}, {"update_order": "critic-first"}),
    "simba_cdq": ({"target_reduction": Mean()},),
    "crossq_2024": (
        {"critic.norm.warmup_updates": 99_999},
        {"critic.norm.epsilon": 1.01e-3},
        {"critic_optimizer.b1": 0.505},
        {"temperature.optimizer.learning_rate": 8e-4},
    ),
    "redq_spec": ({"temperature.loss": "alpha"}, {"policy_reduction": Min()}),
    "droq_spec": ({"critic.norm.epsilon": 1e-6}, {"critic.dropout": 0.2525}),
    "flashsac": (
        {"target.tau": 0.0101},
        {"critic_optimizer.learning_rate.final": 1.515e-4},
        {"actor_pass": "separate"},
        {"actor.norm.running_variance": "biased"},
        {"critic.norm.epsilon": 1.01e-5},
        {"critic_loss.over_critics": "sum"},
        {"temperature.target_entropy": -0.473},
        {"weight_constraint": None},
    ),
}
FAST = (("sac_jaxrl", 0), ("crossq_wn_asrun", 1))
BY_FILE = {case.file: case for case in CASES}


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        pytest.param(file, one, id=f"{file}, {next(iter(one))}", marks=[] if (file, i) in FAST else pytest.mark.slow)
        for file, changes in MUTATIONS.items()
        for i, one in enumerate(changes)
    ],
)
def test_changed_value_exceeds_the_tolerance(
    file: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(differences(BY_FILE[file], monkeypatch, changes).values()) > 10.0 * TOLERANCE


def test_every_compared_preset_is_mutated() -> None:
    assert {BY_FILE[file].preset for file in MUTATIONS} | {"crossq-wn-r", "crossq-wn"} == {c.preset for c in CASES}
    assert {case.preset for case in CASES if case.recorded} == parity.comparisons().keys()


if __name__ == "__main__":
    record = {}
    with jax.enable_x64(True):
        for one in (case for case in CASES if case.recorded):
            with pytest.MonkeyPatch.context() as patch:
                measured = comparison(one, differences(one, patch))
            record[one.preset] = dataclasses.asdict(measured) | {"difference": float(f"{measured.difference:.1g}")}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
