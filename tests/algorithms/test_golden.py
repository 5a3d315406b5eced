"""Two updates of CrossQ + WN against stored numbers: a change of any bit of the algorithm shows here first.

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

from tests.algorithms.support import compiled_update, fixed_batch, fixed_state, named_leaves, tiny

STORED = Path(__file__).with_name("golden.json")


def measure() -> dict[str, float]:
    """Return the losses of two updates, the second with the policy's, and the norm of every array afterwards."""
    numbers, algorithm = {}, tiny()
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
    return numbers | {name: float(np.sqrt(np.square(leaf).sum())) for name, leaf in named_leaves(arrays).items()}


def test_two_updates_give_the_stored_numbers(x64: None) -> None:
    assert measure() == pytest.approx(json.loads(STORED.read_text()), rel=1e-9, abs=1e-9)


if __name__ == "__main__":
    with jax.enable_x64(True):
        STORED.write_text(json.dumps(measure(), indent=1) + "\n")
