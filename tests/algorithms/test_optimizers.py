"""Optimisers and their schedules."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import pytest

from surefoot.algorithms import AdamW, CosineDecay, Learner, LinearDecay, trained_network
from surefoot.algorithms import learner as learner_module
from surefoot.algorithms.optimizers import make_optimizer
from tests.algorithms.support import DISCOUNT, SPEC, tiny

pytestmark = pytest.mark.usefixtures("x64")


def rates(learning_rate: float | LinearDecay | CosineDecay, updates_per_agent_step: float, count: int) -> list[float]:
    """Return the learning rates of the first updates: the decrease of a parameter of 1 without gradient at decay 1."""
    optimizer = make_optimizer(AdamW(learning_rate, weight_decay=1.0), updates_per_agent_step)
    one, found = jnp.array(1.0), []
    state = optimizer.init(one)
    for _ in range(count):
        change, state = optimizer.update(jnp.array(0.0), state, one)
        found.append(-float(change))
    return found


def test_constant_learning_rate() -> None:
    assert rates(0.5, 1.0, 3) == pytest.approx([0.5] * 3)


@pytest.mark.parametrize(("agent_steps", "updates_per_agent_step"), [(4, 1.0), (2, 2.0), (12, 1 / 3)])
def test_schedule_decays_linearly_over_agent_steps_and_then_stays(
    agent_steps: int, updates_per_agent_step: float
) -> None:
    """The schedule lasts four updates in each case."""
    decay = LinearDecay(initial=0.9, final=0.1, agent_steps=agent_steps)
    assert rates(decay, updates_per_agent_step, 6) == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1, 0.1])


@pytest.mark.parametrize(("agent_steps", "updates_per_agent_step"), [(4, 1.0), (8, 0.5)])
def test_cosine_decays_over_its_agent_steps_and_stays(agent_steps: int, updates_per_agent_step: float) -> None:
    found = rates(CosineDecay(0.9, 0.1, agent_steps), updates_per_agent_step, 6)
    assert found == pytest.approx([0.1 + 0.4 * (1 + math.cos(math.pi * min(i, 4) / 4)) for i in range(6)])


def test_schedules_use_the_update_rate_of_each_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: dict[float, float] = {}

    def record(config: AdamW, updates_per_agent_step: float, *rest: Any) -> Any:
        recorded[config.b1] = updates_per_agent_step
        return make_optimizer(config, updates_per_agent_step, *rest)

    for module in (learner_module, trained_network):
        monkeypatch.setattr(module, "make_optimizer", record)
    algorithm = tiny(utd=6, policy_delay=3, critic_optimizer=AdamW(b1=0.1), actor_optimizer=AdamW(b1=0.2))
    Learner(algorithm, SPEC, DISCOUNT)
    assert recorded == {0.1: 6, 0.2: 2, 0.9: 2}
