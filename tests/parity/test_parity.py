"""Every update of the authors' released code, compared with the presets array by array."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from surefoot.algorithms import Learner, held_noise
from surefoot.algorithms.presets import get_preset
from surefoot.types import EnvSpec
from tests.parity.cases import CASES, Case, algorithm_of, fast_schedules, read
from tests.parity.replay import replay

pytestmark = pytest.mark.usefixtures("x64")

INPUTS = (
    *("data/", "noise/", "init/", "start/", "masks/", "subset", "settings", "discount", "update_policy", "seen"),
    *("act/observation", "act/noise", "explore/noise", "reward_scaling/", "zeta_pmf"),
)


def differences(reference: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the largest difference of each array, relative to its largest entry at that update."""
    result = {}
    for name, expected in reference.items():
        if name.startswith(INPUTS) and not name.startswith("init/observations"):
            continue
        own = np.asarray(found[name], float)
        if name in ("after/actor_loss", "after/entropy"):  # only where the policy moves
            moves = ~np.isnan(own)
            own, expected = own[moves], expected[moves] if len(expected) == len(moves) else expected
        assert own.shape == expected.shape, name
        rows = expected.reshape(len(expected), -1) if expected.ndim and name != "init" else expected.reshape(1, -1)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-300)
        result[name] = float((np.abs(own.reshape(rows.shape) - rows).max(axis=1) / scale).max())
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_every_array_of_every_update_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = fast_schedules(case, algorithm_of(case))
    found = differences(read(case.file), replay(read(case.file), algorithm, case.peculiarities, monkeypatch))
    assert {name: value for name, value in found.items() if not value < case.tolerance} == {}


def test_rewards_and_held_noise_are_flashsacs() -> None:
    arrays, algorithm = read("flashsac"), get_preset("flashsac")
    assert algorithm.held_noise is not None
    np.testing.assert_allclose(held_noise.probabilities(algorithm.held_noise), arrays["zeta_pmf"], rtol=1e-9)
    functions = Learner(algorithm, EnvSpec(5, 2), 0.99)
    update = jax.jit(lambda state, *step: functions.update_return_moments(state, *step).returns)
    state = jax.jit(functions.init)(jax.random.key(0))
    ended = np.maximum(arrays["reward_scaling/terminated"], arrays["reward_scaling/truncated"])
    scaled = []
    for step in zip(arrays["reward_scaling/reward"], ended, strict=True):
        state = state._replace(returns=update(state, *step))
        scaled.append(functions.scale_reward(state, arrays["data/reward"][0]))
    np.testing.assert_allclose(scaled, arrays["reward_scaling/scaled_batch"], rtol=1e-9)
