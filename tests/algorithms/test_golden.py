"""Two updates of every preset against stored values.

The numbers are this code's own, taken after the tests against independent formulas had passed. To take them again,
after a change that was meant to change them: ``python -m tests.algorithms.test_golden`` in the repository's root.
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import list_presets, parity
from tests.algorithms.support import compiled_update, fixed_batch, fixed_state, named_leaves, tiny, tiny_preset

STORED = Path(__file__).with_name("golden.json")
ALGORITHMS: dict[str, Algorithm] = {preset.name: tiny_preset(preset.name) for preset in list_presets()} | {
    "crossq-wn": tiny()
}


def measure(algorithm: Algorithm) -> dict[str, float]:
    """Return the losses of two updates, the second with the policy's, and the norm of every array afterwards."""
    numbers = {}
    state = fixed_state(algorithm)
    for i in range(2):
        state, critic, actor = compiled_update(algorithm)(state, fixed_batch(i), jax.random.key(i), jnp.bool_(i == 1))
        numbers |= {f"{name} of update {i + 1}": float(value) for name, value in critic._asdict().items()}
    numbers |= {f"{name} of update 2": float(value) for name, value in actor._asdict().items()}
    arrays = {
        "actor": (state.actor.params, state.actor.batch_stats),
        "critic": (state.critic.params, state.critic.batch_stats),
        "target_critic": state.target_critic,
        "log_alpha": state.log_alpha,
    }
    if state.optimist is not None:
        arrays["optimist"] = (state.optimist.params, state.optimist.weights)
    return numbers | {name: float(np.sqrt(np.square(leaf).sum())) for name, leaf in named_leaves(arrays).items()}


@pytest.mark.parametrize(
    "name",
    # The others are compared with their authors' numbers in the fast tier.
    [pytest.param(name, marks=pytest.mark.slow if name in parity.comparisons() else []) for name in ALGORITHMS],
)
def test_two_updates_match_stored_values(name: str, x64: None) -> None:
    assert measure(ALGORITHMS[name]) == pytest.approx(json.loads(STORED.read_text())[name], rel=1e-9, abs=1e-9)


def test_stored_values_cover_every_preset_and_differ() -> None:
    stored = json.loads(STORED.read_text())
    assert stored.keys() == {preset.name for preset in list_presets()}
    assert len({json.dumps(numbers) for numbers in stored.values()}) == len(stored)


if __name__ == "__main__":
    with jax.enable_x64(True):
        STORED.write_text(json.dumps({name: measure(ALGORITHMS[name]) for name in ALGORITHMS}, indent=1) + "\n")
