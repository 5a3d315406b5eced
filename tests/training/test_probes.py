"""Every preset learns a probe environment to the value known on paper, and a resumed run of it equals this one."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest

import surefoot
from surefoot.algorithms.presets import list_presets
from surefoot.tasks.probes import PROBES
from tests.training import probing
from tests.training.probing import AGENT_STEPS, CHECKPOINT, RESET, UTD, WARMUP, Trained, assert_known_value, quick
from tests.training.recording import Recording
from tests.training.test_resume import assert_same_run

# The plain setting and this library's subject on all of them; the others where what is special about them would show.
CASES: dict[str, tuple[str, ...]] = {
    "sac": tuple(PROBES),
    "crossq-wn": tuple(PROBES),
    "crossq-wn-r": ("probe-action",),
    "crossq-wn-code": ("probe-action",),  # a learning rate that falls while the policy is still learning
    "crossq": ("probe-termination",),
    "crossq-2024": ("probe-truncation",),  # it bootstraps for ever from outputs that no target network slows
    "td3-wn": ("probe-action",),  # a deterministic policy
    # Rewards in deviations of the return, atoms moved from state to state. Not where returns hardly vary or the value
    # never ends: in deviations those values lie beyond its support.
    "xqc": ("probe-termination",),
    "simba": ("probe-termination",),  # the informative entry is a counter, which is normalised
    "bro": ("probe-termination", "probe-action"),  # quantiles moved at its own discount; a second policy that explores
    "sr-sac": ("probe-termination",),  # the value is learned anew from the buffer that a reset left
    "redq": ("probe-termination",),  # the least of a random two, step after step
    "droq": ("probe-action",),  # the policy climbs critics under dropout
}

NAMES = [name if name in ("sac", "crossq-wn", "xqc") else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
"""Presets; those that share most of their code with another one are in the slow tier."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probes")


@functools.cache
def trained(name: str, probe: str, folder: Path) -> Trained:
    return probing.train(probe, quick(name), folder / f"{name}-{probe}")


def test_every_preset_is_here() -> None:
    assert CASES.keys() == {preset.name for preset in list_presets()}


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        pytest.param(name, probe, marks=() if name in NAMES else pytest.mark.slow)
        for name, probes in CASES.items()
        for probe in probes
    ],
)
def test_probe_is_learned_to_its_known_value(name: str, probe: str, folder: Path) -> None:
    assert_known_value(probe, trained(name, probe, folder))


@pytest.mark.parametrize("name", NAMES)
def test_every_update_is_done_and_none_of_before_a_reset_is_left(name: str, folder: Path) -> None:
    """Adam's own count says how many updates there were since its network was made."""
    algorithm, learner = quick(name), trained(name, CASES[name][0], folder).learner
    since = WARMUP + 1 if algorithm.resets is None else RESET
    updates = UTD * (AGENT_STEPS - since + 1)
    assert int(learner.critic.opt_state[0].count) == updates
    # Where the delay does not divide the updates before a reset, it goes on counting across it.
    before = UTD * (since - WARMUP - 1)
    delay = algorithm.policy_delay
    assert int(learner.actor.opt_state[0].count) == (before + updates) // delay - before // delay


@pytest.mark.parametrize("name", NAMES)
def test_the_updates_of_a_run_are_compiled_once(name: str, folder: Path) -> None:
    train: Any = trained(name, CASES[name][0], folder).loop._population._train_step
    assert train._cache_size() == 3  # warm-up with uniform actions, its last step, updates


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, folder: Path, tmp_path: Path) -> None:
    whole = trained(name, CASES[name][0], folder).path
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{AGENT_STEPS:012d}")
    newest = sorted(folder.name for folder in (cut / "checkpoints").iterdir())
    assert newest == [f"env_steps_{CHECKPOINT:012d}"]
    assert surefoot.resume(cut, observer=Recording()).completed
    assert_same_run(whole, cut)
