"""Warning of a run that is shorter than its temperature needs to fall."""

from __future__ import annotations

import dataclasses
import math

import pytest

import surefoot
from surefoot.algorithms import AdamW, Algorithm, LinearDecay
from surefoot.tasks import get_task
from surefoot.training.config import TrainConfig
from surefoot.training.plan import make_plan, slow_temperature


def line(algorithm: Algorithm, env_steps: int) -> str | None:
    config = TrainConfig("cheetah-run", algorithm, env_steps=env_steps)
    return slow_temperature(algorithm, make_plan(config, get_task("cheetah-run")))


def with_optimizer(learning_rate: float | LinearDecay) -> Algorithm:
    algorithm = surefoot.crossq_wn(utd=2)
    assert algorithm.temperature is not None
    return algorithm.replace(temperature=dataclasses.replace(algorithm.temperature, optimizer=AdamW(learning_rate)))


def needed(algorithm: Algorithm) -> int:
    """Return the smallest number of env steps without a warning."""
    low, high = 10_002, 10**9
    while high - low > 2:
        middle = (low + high) // 4 * 2
        low, high = (low, middle) if line(algorithm, middle) is None else (middle, high)
    return high


def test_default_algorithm_has_no_warning() -> None:
    assert line(surefoot.crossq_wn_code(), 20_000) is None
    assert line(surefoot.td3_wn(), 20_000) is None


def test_needed_env_steps_follow_from_the_algorithms_values() -> None:
    """(warm-up + ln 100 / rate x delay / UTD) x action repeat."""
    log = math.log(100.0)
    expected = {
        "crossq-wn, UTD 5": (surefoot.crossq_wn(), 2 * (5_000 + math.ceil(log / 1e-4 * 3 / 5))),
        "crossq-wn, UTD 2": (surefoot.crossq_wn(utd=2), 2 * (5_000 + math.ceil(log / 1e-4 * 3 / 2))),
        "sac": (surefoot.sac(), 2 * (10_000 + math.ceil(log / 3e-4))),
        "sr-sac": (surefoot.sr_sac(), 10_000 + math.ceil(log / 3e-4 / 32)),
    }
    found = {name: needed(algorithm) for name, (algorithm, _) in expected.items()}
    assert found == pytest.approx({name: steps for name, (_, steps) in expected.items()}, abs=2)


@pytest.mark.parametrize(("length", "final"), [(500_000, 3e-5), (5_000, 3e-5), (10_000, 1e-4)])
def test_falling_learning_rate_is_summed(length: int, final: float) -> None:
    decay = LinearDecay(3e-4, final, length)
    total, steps = 0.0, 0
    while total < math.log(100.0):  # two thirds of a policy update per agent step
        total += 2 / 3 * (decay.initial + (decay.final - decay.initial) * min(1.0, (steps + 0.5) / length))
        steps += 1
    assert needed(with_optimizer(decay)) == pytest.approx(2 * (5_000 + steps), abs=6)


def test_time_between_resets_counts() -> None:
    algorithm = surefoot.crossq_wn(utd=2)
    every = {n: algorithm.replace(resets=surefoot.ResetEvery(env_steps=n)) for n in (80_000, 150_000)}
    assert line(every[150_000], 1_000_000) is None
    assert line(every[80_000], 1_000_000) == (
        "temperature: needs at least 138,156 env steps to fall from 1 to 0.01, and resets leave at most 80,000: where "
        "rewards are small, use --set temperature.initial=0.01 or --algorithm crossq-wn-code"
    )
    # One reset near the start leaves the rest of the run.
    assert line(algorithm.replace(resets=surefoot.ResetAt((10_000,))), 1_000_000) is None


def test_warning_names_the_steps_and_the_alternatives() -> None:
    assert line(surefoot.crossq_wn(utd=2), 50_000) == (
        "temperature: needs at least 148,156 env steps to fall from 1 to 0.01, and this run has 50,000: where rewards "
        "are small, use --set temperature.initial=0.01 or --algorithm crossq-wn-code"
    )
