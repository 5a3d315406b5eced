"""Policy delay: update times, and no computation of the policy update in between."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr
from jax.interpreters import partial_eval

from surefoot.algorithms import Algorithm, Learner, LearnerState
from surefoot.training.population import Population
from surefoot.types import Transition
from tests.algorithms.support import (
    ACTOR_WIDTHS,
    BATCH,
    CRITIC_WIDTHS,
    DISCOUNT,
    SPEC,
    compiled_update,
    double,
    fixed_batch,
    fresh_state,
    named_leaves,
    same_bits,
    tiny,
)

SEEDS = 3


def everything_of_the_policy(state: LearnerState) -> tuple[Any, ...]:
    return state.actor, state.log_alpha, state.temperature_opt_state


def transition(seeds: int = SEEDS, step: int = 0) -> Transition:
    rng = np.random.default_rng(step)
    observation = rng.normal(size=(seeds, SPEC.observation_size)).astype(np.float32)
    action = rng.uniform(-1, 1, (seeds, SPEC.action_size)).astype(np.float32)
    reward, never = rng.normal(size=seeds).astype(np.float32), np.zeros(seeds, bool)
    return Transition(action, reward, observation, never, observation, never)


# -------------------------------------------------------------------- what changes when


def test_policy_changes_only_if_update_policy() -> None:
    with jax.enable_x64(True):
        update, before = compiled_update(tiny()), double(fresh_state(tiny()))
        waited, _, no_metrics = update(before, fixed_batch(), jax.random.key(0), jnp.bool_(False))
        changed, _, metrics = update(before, fixed_batch(), jax.random.key(0), jnp.bool_(True))
    assert same_bits(everything_of_the_policy(waited), everything_of_the_policy(before))
    assert all(np.isnan(value) for value in no_metrics)
    assert same_bits(changed.critic, waited.critic), "the critic does not see whether the policy is updated"
    old, new = named_leaves(everything_of_the_policy(before)), named_leaves(everything_of_the_policy(changed))
    assert not [name for name in old if np.array_equal(old[name], new[name])], "parameters, statistics, optimisers move"
    assert all(np.isfinite(value) for value in metrics)


@pytest.mark.slow
def test_actor_statistics_of_all_updates_change_without_the_policy() -> None:
    algorithm = tiny(policy_delay=3, actor_statistics="all-updates")
    before = fresh_state(algorithm)
    waited, _, no_metrics = compiled_update(algorithm)(before, fixed_batch(), jax.random.key(0), jnp.bool_(False))
    moved, _, _ = compiled_update(algorithm)(before, fixed_batch(), jax.random.key(0), jnp.bool_(True))
    assert all(np.isnan(value) for value in no_metrics)
    same = everything_of_the_policy(before._replace(actor=before.actor._replace(batch_stats=waited.actor.batch_stats)))
    assert same_bits(everything_of_the_policy(waited), same)
    # The pass is the one in which the policy's loss is computed.
    old, new, expected = (named_leaves(state.actor.batch_stats) for state in (before, waited, moved))
    assert not [name for name in old if np.array_equal(old[name], new[name])]
    for name in new:
        np.testing.assert_allclose(new[name], expected[name], rtol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def population() -> Population:
    algorithm = tiny(policy_delay=3, utd=2)
    return Population(Learner(algorithm, SPEC, DISCOUNT))


def test_policy_delay_counts_across_agent_steps(population: Population) -> None:
    """At two updates per agent step, the policy changes in updates 3, 6 and 9: in agent steps 2, 3 and 5."""
    state = population.init(range(SEEDS), 20, 30, transition().observation)
    moved, actor_updates, critic_updates = [], [], []
    for agent_step in range(5):
        before = jax.tree.map(np.array, (state.learner.actor, state.learner.log_alpha))
        state, _ = population.train_step(state, transition(step=agent_step), 2 * agent_step)
        moved.append(not same_bits((state.learner.actor, state.learner.log_alpha), before))
        actor_updates.append(state.metrics.actor_updates.tolist())
        critic_updates.append(state.metrics.critic_updates.tolist())
    assert moved == [False, True, True, False, True]
    assert actor_updates == [[n] * SEEDS for n in (0, 1, 2, 2, 3)]
    assert critic_updates == [[n] * SEEDS for n in (2, 4, 6, 8, 10)]
    assert np.isfinite(state.metrics.actor.actor_loss).all(), "the NaN of skipped updates does not enter the sums"


@pytest.mark.parametrize(
    ("order", "delay", "moving"),
    [("critic-first", 3, [2, 5]), ("actor-first", 3, [0, 3, 6]), ("actor-first", 1, [*range(7)])],
)
def test_the_order_of_an_update_decides_the_first_policy_update(order: str, delay: int, moving: list[int]) -> None:
    functions = Learner(tiny(update_order=order, policy_delay=delay), SPEC, DISCOUNT)
    assert [step for step in range(7) if functions.is_policy_due(np.int32(step))] == moving


# -------------------------------------------------------------------- computation


def traced(algorithm: Algorithm) -> ClosedJaxpr:
    """Return the program of one agent step of several seeds."""
    population = Population(Learner(algorithm, SPEC, DISCOUNT))
    state = jax.eval_shape(lambda: population.init(range(SEEDS), 20, 30))
    return jax.make_jaxpr(population.train_step)(state, transition())


def needed(program: Any) -> Any:
    """Return a program without dead code, which the compiler removes."""
    return partial_eval.dce_jaxpr(program, [True] * len(program.outvars))[0]


def sub_programs(equation: Any) -> Iterator[Any]:
    for parameter in equation.params.values():
        for value in parameter if isinstance(parameter, tuple | list) else (parameter,):
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                yield getattr(value, "jaxpr", value)


def flops(program: Any, *, branches: bool) -> int:
    """Return the multiplications and additions of all matrix products, with or without those in branches."""
    total = 0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
        if equation.primitive.name == "cond" and not branches:
            continue
        repeats = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += repeats * sum(flops(sub, branches=branches) for sub in sub_programs(equation))
    return total


def conditionals(program: Any) -> int:
    nested = sum(conditionals(sub) for equation in program.eqns for sub in sub_programs(equation))
    return nested + sum(equation.primitive.name == "cond" for equation in program.eqns)


def layer_flops(widths: tuple[int, ...], inputs: int, outputs: int, batch: int) -> int:
    sizes = (inputs, *widths, outputs)
    return sum(2 * batch * a * b for a, b in itertools.pairwise(sizes))


OBSERVATION, ACTION = SPEC[:2]
ACTOR_FORWARD = layer_flops(ACTOR_WIDTHS, OBSERVATION, 2 * ACTION, BATCH)
CRITICS_FORWARD = 2 * layer_flops(CRITIC_WIDTHS, OBSERVATION + ACTION, 1, BATCH)
CRITIC_UPDATE = (
    ACTOR_FORWARD  # next actions
    + 2 * CRITICS_FORWARD  # the target's joint pass
    + 3 * 2 * CRITICS_FORWARD  # the critic's, forward and twice backward (the input's norm has parameters too)
)
ACTOR_UPDATE = 3 * ACTOR_FORWARD + 2 * CRITICS_FORWARD  # through the critic only to its input
ACT = ACTOR_FORWARD // BATCH
UTD = 2


def test_delayed_policy_update_is_not_computed() -> None:
    program = needed(traced(tiny(policy_delay=3, utd=UTD)).jaxpr)
    assert conditionals(program) == 1
    assert flops(program, branches=False) == SEEDS * (UTD * CRITIC_UPDATE + ACT)
    assert flops(program, branches=True) == SEEDS * (UTD * (CRITIC_UPDATE + ACTOR_UPDATE) + ACT)


def test_no_branch_without_a_delay() -> None:
    program = needed(traced(tiny(policy_delay=1, utd=UTD)).jaxpr)
    assert conditionals(program) == 0
    assert flops(program, branches=False) == SEEDS * (UTD * (CRITIC_UPDATE + ACTOR_UPDATE) + ACT)


def test_compiled_program_keeps_the_branch(population: Population) -> None:
    """A predicate with a seed axis would become a selection that computes both branches."""
    state = jax.eval_shape(lambda: population.init(range(SEEDS), 20, 30))
    compiled = population.lower_train_step(state).compile().as_text()
    always, sometimes = matrix_products(compiled)
    assert len(re.findall(r" conditional\(", compiled)) == 1
    # By layer: 3 + 4 of the passes of target and policy, 3 + 3 x 2 of the critic's, 4 of acting; and of the policy's
    # update 4 + 3 forward, and backward 4 + 4 through the actor and 3 through the critic.
    assert always <= 20
    assert sometimes >= 12


def matrix_products(hlo: str) -> tuple[int, int]:
    """Return the number of matrix products outside and inside the branches of a compiled program."""
    bodies = dict(re.findall(r"^(?:ENTRY )?%([\w.\-]+) \([^\n]*\{\n(.*?)^\}", hlo, re.M | re.S))
    entry = re.search(r"^ENTRY %([\w.\-]+)", hlo, re.M)
    assert entry is not None

    def count(name: str, *, branches: bool) -> int:
        total = 0
        for line in bodies[name].splitlines():
            total += " dot(" in line
            if " conditional(" not in line or branches:
                called = [other for other in re.findall(r"%([\w.\-]+)", line) if other in bodies]
                total += sum(count(other, branches=branches) for other in called)
        return total

    always = count(entry[1], branches=False)
    return always, count(entry[1], branches=True) - always
