"""What must not get slower: ratios within one program or one minute, never absolute times; docs/performance.md."""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Callable

import jax
import numpy as np
import pytest

import surefoot
from surefoot.benchmark.machine import matmul_part
from surefoot.benchmark.updates import Bench
from surefoot.types import EnvSpec

SPEC = EnvSpec(17, 6)


@functools.cache
def bench(utd: int = 2, capacity: int = 10_000) -> Bench:
    return Bench(surefoot.crossq_wn(utd=utd), SPEC, 0.99, np.zeros((1, 17), np.float32), capacity=capacity)


@functools.cache
def program(utd: int) -> str:
    own = bench(utd)
    return own._population._train.lower(own._state, own._transition, np.int32(0)).compile().as_text()


def products(text: str) -> list[tuple[float, bool]]:
    """Return the operations of every product in a compiled program, and whether XLA's fast library makes it."""
    fast = set(re.findall(r"kind=kCustom, calls=%([\w.\-]+)[^\n]*__ynn", text))
    shapes = dict(re.findall(r"%([\w.\-]+) = \w+\[([\d,]*)\]", text))
    found, computation = [], ""
    for line in text.splitlines():
        if opened := re.match(r"(?:ENTRY )?%([\w.\-]+) \(", line):
            computation = opened[1]
            shapes |= dict(re.findall(r"([\w.\-]+): \w+\[([\d,]*)\]", line))
        dot = re.search(r"= \w+\[([\d,]*)\]\S* dot\(%([\w.\-]+),.*lhs_contracting_dims=\{(\d+)\}", line)
        if dot:
            left = [int(size) for size in shapes[dot[2]].split(",")]
            kept = math.prod(int(size) for size in dot[1].split(","))
            found.append((2.0 * kept * left[int(dot[3])], computation in fast))
    return found


def test_the_fast_library_makes_the_products() -> None:
    """XLA leaves products over rows, such as weight gradients, to code that is half as fast unless it is helped."""
    found = products(program(2))
    total = sum(flops for flops, _ in found)
    # Two critics' passes and the policy's share, each counted once however often its branch is taken.
    assert total == pytest.approx(2.96e9, rel=0.03)
    fast_share = sum(flops for flops, fast in found if fast) / total
    assert fast_share > 0.98, "slower code, unless this JAX or CPU calls its fast library by another name"


def test_the_program_is_as_long_for_twenty_updates_as_for_two() -> None:
    """A scan and not an unrolled loop, so that compilation takes as long."""
    assert len(program(20).splitlines()) < 1.02 * len(program(2).splitlines())


def best(part: Callable[[int], None], calls: int) -> float:
    """Return the seconds of one call at its best: other work on the machine only ever adds."""
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        part(calls)
        seconds.append((time.perf_counter() - began) / calls)
    return min(seconds)


def test_an_update_is_near_the_limit_of_its_products() -> None:
    """About 0.8 on a quiet machine. A pass too many over the activations is not seen here; the profile shows that."""
    matmul, gflop = matmul_part()
    own = bench(2)
    own.update(3)
    matmul(200)
    in_turn = [(best(own.update, 6), best(matmul, 100)) for _ in range(3)]
    update, product = (min(seconds) for seconds in zip(*in_turn, strict=True))
    share = own.gflop_per_update() * 2 / update / (gflop / product)
    assert 0.3 < share < 1.3


def test_the_time_is_linear_in_updates_and_flat_in_the_buffers_size() -> None:
    few, many, large = bench(2), bench(20), bench(2, capacity=1_000_000)
    for own in (few, many, large):
        own.update(2)
    in_turn = [(best(few.update, 4), best(many.update, 1), best(large.update, 4)) for _ in range(3)]
    of_two, of_twenty, of_large = (min(seconds) for seconds in zip(*in_turn, strict=True))
    # Ten times the updates: twice that would be far from linear, whatever else the machine does.
    assert of_twenty < 20 * of_two
    assert of_large < 1.75 * of_two


def test_memory_of_many_seeds_is_that_of_their_buffers_and_networks() -> None:
    """The state of S seeds takes S times that of one, to the byte."""
    sizes = []
    for seeds in (1, 3):
        population = surefoot.training.population.Population(bench()._population.learner, range(seeds), 1_000, 1_010)
        state, _ = jax.eval_shape(population.init, np.zeros((seeds, 17), np.float32))
        sizes.append(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)))
    assert sizes[1] == 3 * sizes[0]
