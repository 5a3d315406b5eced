"""Operation counts and the size of the compiled training step."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Learner
from surefoot.benchmark.train_step import TrainStep, count_dot_flops, flop_per_update, noise
from surefoot.training.population import Population
from surefoot.types import EnvSpec
from tests.training.small import small

SPEC = EnvSpec(17, 6)


def test_flops_are_counted_through_batches_scans_and_branches() -> None:
    left, right = jnp.zeros((3, 4, 5)), jnp.zeros((3, 5, 6))
    one = 2 * 3 * 4 * 5 * 6

    def looped(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.scan(
            lambda total, _: (total + jax.jit(jnp.matmul)(left, right).sum(), None), jnp.zeros(()), None, 7
        )[0]

    def branched(left: jax.Array, right: jax.Array) -> jax.Array:
        return jax.lax.cond(left.sum() > 0, lambda: (left @ right).sum(), lambda: jnp.zeros(()))

    assert count_dot_flops(jnp.matmul, left, right) == one
    assert count_dot_flops(looped, left, right) == 7 * one
    assert count_dot_flops(branched, left, right) == one
    assert count_dot_flops(branched, left, right, branch_share=0.25) == 0.25 * one


def test_flop_per_update_of_papers_networks() -> None:
    always, delayed = (
        flop_per_update(Learner(surefoot.crossq_wn().replace(policy_delay=delay), SPEC, 0.99)) for delay in (1, 3)
    )
    assert delayed == pytest.approx(2.5e9, rel=0.01)
    # Two of three updates skip the policy.
    assert always - delayed == pytest.approx(0.68e9 * 2 / 3, rel=0.05)


def test_program_size_does_not_depend_on_utd() -> None:
    """Updates are a scan, not an unrolled loop."""
    lines = []
    for utd in (2, 20):
        population = Population(Learner(small(surefoot.sac(utd=utd)), SPEC, 0.99))
        state = jax.eval_shape(functools.partial(population.init, [0], 1_000, 1_010))
        program = jax.make_jaxpr(population.train_step)(state, noise(SPEC, 1))
        lines.append(len(str(program).splitlines()))
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_state_of_s_seeds_is_s_times_as_large() -> None:
    sizes = []
    for seeds in (1, 3):
        population = Population(Learner(surefoot.crossq_wn(), SPEC, 0.99))
        state = jax.eval_shape(functools.partial(population.init, range(seeds), 1_000, 1_010))
        sizes.append(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)))
    assert sizes[1] == 3 * sizes[0]


@pytest.mark.slow
def test_one_call_updates_every_seed_utd_times() -> None:
    step = TrainStep(small(surefoot.sac(utd=3)), SPEC, num_seeds=2)
    step.run(1)
    assert step.updates_per_call == 6
    assert np.asarray(step.state.metrics.critic_updates).tolist() == [6, 6]  # the compiling call included
    assert step.updates_per_second(0.01) > 0
