"""Probe environments: learned values, update counts and resume of every preset."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import surefoot
from surefoot.algorithms.presets import list_presets
from surefoot.tasks.probes import PROBES
from surefoot.training import loop
from surefoot.training.population import get_population
from tests.training import probing
from tests.training.probing import (
    AGENT_STEPS,
    RESET,
    UTD,
    WARMUP,
    Trained,
    assert_known_value,
    checkpoint_step,
    quick,
)
from tests.training.recording import Recording
from tests.training.test_resume import assert_same_run

# SAC and CrossQ + WN on all probes, other presets on those that exercise their parts.
CASES: dict[str, tuple[str, ...]] = {
    "sac": tuple(PROBES),
    "crossq-wn": tuple(PROBES),
    "crossq-wn-r": ("probe-action",),
    "crossq-wn-code": ("probe-action",),  # decaying learning rate
    "crossq": ("probe-termination",),
    "crossq-2024": ("probe-truncation",),  # endless bootstrapping without a target network
    "td3-wn": ("probe-action",),  # a deterministic policy
    # Scaled rewards and a categorical critic. With little variance of returns or endless values, scaled values would be
    # outside of its support.
    "xqc": ("probe-termination",),
    "flashsac": ("probe-termination", "probe-action"),  # bounded rewards; held noise
    "simba": ("probe-termination",),  # normalised observations
    "bro": ("probe-termination", "probe-action"),  # quantiles, own discount, exploration policy
    "sr-sac": ("probe-termination",),  # resets
    "redq": ("probe-termination",),  # minimum of a random subset
    "droq": ("probe-action",),  # dropout
}

NAMES = [name if name == "crossq-wn" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
"""Presets; all but one are in the slow tier, which has every probe of that one as well."""
FAST = [("crossq-wn", CASES["crossq-wn"][0]), ("sac", "probe-termination")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probes")


@functools.cache
def trained(name: str, probe: str, folder: Path) -> Trained:
    return probing.train(probe, quick(name), folder / f"{name}-{probe}")


@pytest.fixture(scope="module", autouse=True)
def kept_populations() -> Iterator[None]:
    """Keep the compiled programs of all presets; a process keeps those of fewer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "get_population", functools.cache(get_population.__wrapped__))
        yield


def test_cases_cover_every_preset() -> None:
    assert CASES.keys() == {preset.name for preset in list_presets()}


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        pytest.param(name, probe, marks=() if (name, probe) in FAST else pytest.mark.slow)
        for name, probes in CASES.items()
        for probe in probes
    ],
)
def test_probe_is_learned_to_its_known_value(name: str, probe: str, folder: Path) -> None:
    assert_known_value(probe, trained(name, probe, folder))


@pytest.mark.parametrize("name", NAMES)
def test_optimizers_count_the_updates_since_the_last_reset(name: str, folder: Path) -> None:
    algorithm, learner = quick(name), trained(name, CASES[name][0], folder).learner
    since = WARMUP + 1 if algorithm.resets is None else RESET
    updates = UTD * (AGENT_STEPS - since + 1)
    assert int(learner.critic.opt_state[0].count) == updates
    # The policy delay counts across resets.
    before = UTD * (since - WARMUP - 1)
    delay = algorithm.policy_delay
    assert int(learner.actor.opt_state[0].count) == (before + updates) // delay - before // delay


@pytest.mark.parametrize("name", NAMES)
def test_updates_of_a_run_are_compiled_once(name: str, folder: Path) -> None:
    train: Any = trained(name, CASES[name][0], folder).loop._population.programs.train_step
    assert train._cache_size() == 3  # warm-up with uniform actions, its last step, updates


@pytest.mark.parametrize("name", NAMES)
def test_resume_equals_uninterrupted_run(name: str, folder: Path, tmp_path: Path) -> None:
    whole = trained(name, CASES[name][0], folder).path
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{AGENT_STEPS:012d}")
    newest = sorted(folder.name for folder in (cut / "checkpoints").iterdir())
    assert newest == [f"env_steps_{checkpoint_step(quick(name)):012d}"]
    assert surefoot.resume(cut, observer=Recording()).completed
    assert_same_run(whole, cut)
