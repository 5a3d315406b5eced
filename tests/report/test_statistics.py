"""Aggregates against rliable and hand-computed values; unequal seeds, missing scores and validation."""

from __future__ import annotations

import functools
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import UserError
from surefoot.report.statistics import (
    AGGREGATES,
    Scores,
    estimate,
    estimate_tasks,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from tests.report.statistics_cases import REFERENCE, SCORES, by_task, generator, metrics, scores_of, value

NAN = float("nan")


# ---------------------------------------------------------------- rliable


def test_every_aggregate_has_a_counterpart_in_rliable() -> None:
    assert AGGREGATES.keys() == REFERENCE.keys()


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("shape", [(10, 25), (7, 3), (3, 2), (2, 2), (1, 7), (5, 1), (1, 1)])
def test_aggregates_equal_rliable(name: str, shape: tuple[int, int]) -> None:
    """Including numbers of runs that four does not divide, and fewer than four."""
    for seed in range(5):
        scores = np.random.default_rng((seed, *shape)).normal(0.6, 0.5, shape)
        np.testing.assert_allclose(value(by_task(scores), AGGREGATES[name]), [REFERENCE[name](scores)], rtol=1e-12)


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_point_of_a_curve_equals_rliable(name: str) -> None:
    scores = np.random.default_rng(1).normal(0.6, 0.5, (5, 4, 6))
    expected = [REFERENCE[name](scores[..., point]) for point in range(6)]
    np.testing.assert_allclose(value(by_task(scores), AGGREGATES[name]), expected, rtol=1e-12)


@pytest.mark.parametrize("seeds", [(9, 9), (3, 7), (1, 4)])
def test_probability_of_improvement_equals_rliable(seeds: tuple[int, int]) -> None:
    """Rounded scores, so that there are ties; equal and unequal numbers of seeds."""
    random = np.random.default_rng(5)
    first, second = (random.normal(at, 1.0, (own, 4)).round(1) for own, at in zip(seeds, (0.3, 0.0), strict=True))
    ours = probability_of_improvement(by_task(first), by_task(second), generator(), resamples=1)
    np.testing.assert_allclose(ours.value, [metrics.probability_of_improvement(first, second)], rtol=1e-12)
    assert (ours.runs, ours.tasks) == ([4 * sum(seeds)], [4])


# ---------------------------------------------------------------- hand-computed


def test_aggregates_equal_hand_computed_values() -> None:
    """Of 0, ..., 9 a quarter rounds down to two at each end: the mean of 2, ..., 7 is 4.5."""
    scores = scores_of([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])
    assert value(scores, iqm) == pytest.approx([4.5])
    assert value(scores, mean) == pytest.approx([4.5])
    assert value(scores, median) == pytest.approx([4.5])
    # Against 8: one run counts as 8 although it has 9, so they have 44 of 80.
    assert value(scores, functools.partial(optimality_gap, target=8.0)) == pytest.approx([3.6])
    assert value(scores, optimality_gap) == pytest.approx([1 - 9 / 10])


def test_median_is_over_tasks_and_iqm_over_runs() -> None:
    scores = scores_of([0.0, 0.0, 9.0], [1.0, 2.0, 3.0], [4.0, 4.0, 7.0])
    assert value(scores, median) == pytest.approx([3.0])  # of 3, 2 and 5
    assert value(scores, iqm) == pytest.approx([(1 + 2 + 3 + 4 + 4) / 5])  # 0, 0 and 7, 9 are cut


def test_iqm_of_unequal_seeds_equals_hand_computed_value() -> None:
    """Three runs have weight 1/3 each, one has weight 1. A quarter of the weight, 1/2, is cut at each end.

    Sorted by score: 0 (1/3), 1 (1), 3 (1/3), 6 (1/3). The cuts remove the 0 and 1/6 of the 1 at the low end, the 6 and
    half of the 3 at the high end. A weight of 1 is left: 5/6 of the 1, and 1/6 of the 3.
    """
    expected = Fraction(5, 6) * 1 + Fraction(1, 6) * 3
    assert value(scores_of([0.0, 6.0, 3.0], [1.0]), iqm) == pytest.approx([float(expected)], rel=1e-14)


def test_tasks_with_unequal_seeds_have_equal_weight() -> None:
    scores = scores_of(np.zeros(6), np.ones(2))
    for aggregate in (iqm, mean, median, optimality_gap):
        assert value(scores, aggregate) == pytest.approx([0.5])
    profile = performance_profile(scores.at(-1), np.array([-1.0, 0.0, 1.0]), generator())
    np.testing.assert_allclose(profile.value, [1.0, 0.5, 0.0])
    assert (profile.runs.tolist(), profile.tasks.tolist()) == ([8, 8, 8], [2, 2, 2])


@pytest.mark.parametrize("seeds", [(6, 2), (3, 1), (4, 2, 2), (5, 2, 1), (12, 3, 1)])
def test_unequal_seeds_equal_rliable_on_tasks_repeated_to_equal_numbers(seeds: tuple[int, ...]) -> None:
    """Where four divides the number of runs, so that no quarter is rounded."""
    random = np.random.default_rng(seeds)
    scores = [random.normal(size=own) for own in seeds]
    repeated = [np.repeat(own, 4 * np.lcm.reduce(seeds) // len(own)) for own in scores]
    expected = metrics.aggregate_iqm(np.stack(repeated, axis=1))
    np.testing.assert_allclose(value(scores_of(*scores), iqm), [expected], rtol=1e-12)


def test_probability_of_improvement_equals_hand_computed_value() -> None:
    """On a, 2 beats 1 and ties with 2, and 0 loses to both: 1.5 of 4. On b, 5 beats 4: 1 of 1."""
    ours = probability_of_improvement(scores_of([2.0, 0.0], [5.0]), scores_of([1.0, 2.0], [4.0]), generator())
    assert ours.value == pytest.approx([(1.5 / 4 + 1.0) / 2])
    assert (ours.runs, ours.tasks) == ([6], [2])


def test_performance_profile_equals_hand_computed_values() -> None:
    """A run counts where its score is above the threshold, not equal to it."""
    ours = performance_profile(scores_of([0.0, 1.0], [1.0, 3.0]), np.array([-1.0, 0.0, 0.5, 1.0, 3.0]), generator())
    np.testing.assert_allclose(ours.value, [1.0, 0.75, 0.75, 0.25, 0.0])


# ---------------------------------------------------------------- missing scores


def test_missing_scores_are_left_out_and_counted() -> None:
    scores = scores_of([[1.0, 1.0, NAN], [3.0, NAN, NAN]], [[5.0, 6.0, NAN]])
    ours = estimate(scores, mean, generator())
    np.testing.assert_allclose(ours.value, [3.5, 3.5, NAN])
    assert ours.runs.tolist() == [3, 2, 0]
    assert ours.tasks.tolist() == [2, 2, 0]
    for end in (ours.low, ours.high):
        np.testing.assert_array_equal(np.isnan(end), [False, False, True])
    np.testing.assert_allclose(value(scores, median), [3.5, 3.5, NAN])
    np.testing.assert_allclose(value(scores, optimality_gap), [0.0, 0.0, NAN])
    np.testing.assert_allclose(value(scores, iqm), [3.5, 3.5, NAN])


def test_task_without_runs_is_absent() -> None:
    scores = Scores(["dog-run", "fish-swim", "walker-run"], [np.ones((2, 1)), np.empty((0, 1)), np.full((3, 1), NAN)])
    ours = estimate(scores, iqm, generator())
    assert (ours.value, ours.runs, ours.tasks) == ([1.0], [2], [1])
    assert scores.absent == ("fish-swim", "walker-run")
    assert scores.seeds == (2, 0, 3)
    assert scores.counts.tolist() == [[2], [0], [0]]
    tasks = estimate_tasks(scores, generator())
    assert list(tasks) == list(scores.tasks)
    assert [one.tasks.tolist() for one in tasks.values()] == [[1], [0], [0]]
    np.testing.assert_array_equal([one.value[0] for one in tasks.values()], [1.0, NAN, NAN])


def test_profile_without_scores_is_nan() -> None:
    ours = performance_profile(scores_of([NAN, NAN]), np.array([0.0, 1.0]), generator())
    np.testing.assert_array_equal([ours.value, ours.low, ours.high], np.full((3, 2), NAN))
    assert (ours.runs.tolist(), ours.tasks.tolist()) == ([0, 0], [0, 0])


def test_improvement_is_over_the_tasks_of_both_at_each_point() -> None:
    first = Scores(["x", "y", "z"], [[[1.0, 1.0]], [[1.0, 1.0], [3.0, 3.0]], [[9.0, 9.0]]])
    second = Scores(["y", "x"], [[[2.0, NAN]], [[0.0, 0.0]]])
    ours = probability_of_improvement(first, second, generator())
    np.testing.assert_allclose(ours.value, [0.75, 1.0])  # x: 1, and at the first point y: 1/2
    assert ours.runs.tolist() == [5, 2]
    assert ours.tasks.tolist() == [2, 1]


@pytest.mark.parametrize("other", [Scores(["other"], [[[1.0]]]), Scores(["a"], [[[NAN]]])])
def test_improvement_without_common_tasks_is_nan(other: Scores) -> None:
    ours = probability_of_improvement(scores_of([1.0]), other, generator())
    np.testing.assert_array_equal([ours.value, ours.low, ours.high], [[NAN]] * 3)
    assert (ours.runs, ours.tasks) == ([0], [0])


# ---------------------------------------------------------------- properties


@given(SCORES, st.sampled_from(["IQM", "mean", "median"]), st.floats(0.1, 5.0), st.floats(-3.0, 3.0))
def test_aggregates_are_within_the_scores_and_equivariant(
    scores: Scores, name: str, factor: float, shift: float
) -> None:
    found = value(scores, AGGREGATES[name])
    pool = np.concatenate(scores.values)
    assert (found >= pool.min(axis=0) - 1e-9).all()
    assert (found <= pool.max(axis=0) + 1e-9).all()
    scaled = Scores(scores.tasks, [factor * own + shift for own in scores.values])
    np.testing.assert_allclose(value(scaled, AGGREGATES[name]), factor * found + shift, atol=1e-9)


@given(SCORES, st.randoms(use_true_random=False), st.sampled_from(list(AGGREGATES)))
def test_aggregates_ignore_the_order_of_runs_and_tasks(scores: Scores, random: Random, name: str) -> None:
    tasks = list(scores.tasks)
    random.shuffle(tasks)
    shuffled = scores.select(tasks)
    reversed_runs = Scores(shuffled.tasks, [own[::-1] for own in shuffled.values])
    np.testing.assert_allclose(value(reversed_runs, AGGREGATES[name]), value(scores, AGGREGATES[name]), atol=1e-9)


@given(SCORES, st.sampled_from(list(AGGREGATES)))
def test_run_without_scores_changes_nothing(scores: Scores, name: str) -> None:
    padded = Scores(scores.tasks, [np.vstack([np.full((1, 2), NAN), own]) for own in scores.values])
    np.testing.assert_allclose(value(padded, AGGREGATES[name]), value(scores, AGGREGATES[name]), atol=1e-12)


@given(SCORES, SCORES)
def test_improvement_probabilities_of_a_pair_add_up_to_one(first: Scores, second: Scores) -> None:
    one, other = (
        probability_of_improvement(*pair, generator(), resamples=1).value for pair in ((first, second), (second, first))
    )
    np.testing.assert_allclose(one + other, 1.0)


@given(SCORES)
def test_profile_falls_from_one_to_zero(scores: Scores) -> None:
    shares = performance_profile(scores.at(0), np.linspace(-11.0, 10.0, 22), generator(), resamples=1).value
    assert (shares[0], shares[-1]) == (pytest.approx(1.0), 0.0)
    assert (np.diff(shares) <= 1e-12).all()


# ---------------------------------------------------------------- scores


def test_scores_are_copied_and_read_only() -> None:
    mine = np.zeros((2, 3))
    scores = Scores(["a"], [mine])
    mine[0, 0] = 5.0
    assert scores.values[0][0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        scores.values[0][0, 0] = 5.0


def test_selection_of_points_and_tasks() -> None:
    scores = Scores(["a", "b"], [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]])
    assert scores.points == 2
    last = scores.at(-1)
    assert [own.tolist() for own in last.values] == [[[2.0]], [[4.0], [6.0]]]
    assert scores.select(["b", "a"]).tasks == ("b", "a")
    assert scores.select(["b"]).seeds == (2,)


@pytest.mark.parametrize(
    ("tasks", "values", "message"),
    [
        ([], [], "at least one task, got none"),
        (["a"], [], "each of 1 tasks, got 0 arrays"),
        (["a"], [np.zeros(3)], r"scores on task 'a' must have shape \[runs, points\], got \[3\]"),
        (["a"], [np.zeros(())], r"got \[\]"),
        (["a", "b"], [np.zeros((2, 3)), np.zeros((2, 4))], "same evaluation points: 'a' has 3, 'b' 4"),
        (["a", "b", "a"], [np.zeros((1, 1))] * 3, "expected distinct tasks, got 'a' twice"),
        (["a"], [np.array([[np.inf]])], "'a' must be finite, or NaN where they are missing; one is infinite"),
    ],
)
def test_invalid_scores_are_rejected(tasks: list[str], values: list[np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scores(tasks, values)


def test_invalid_arguments_are_rejected() -> None:
    scores = Scores(["dog-run"], [np.zeros((2, 3))])
    with pytest.raises(UserError, match=r"confidence must be between 0 and 1, such as 0.95, got 95"):
        estimate(scores, iqm, generator(), confidence=95)
    with pytest.raises(UserError, match="resamples must be at least 1, got 0"):
        estimate(scores, iqm, generator(), resamples=0)
    with pytest.raises(UserError, match="same evaluation points, got 3 and 1"):
        probability_of_improvement(scores, scores.at(0), generator())
    with pytest.raises(UserError, match="one evaluation point, got 3"):
        performance_profile(scores, np.zeros(1), generator())
    with pytest.raises(UserError, match="no evaluation point 3, expected -3 to 2"):
        scores.at(3)
    with pytest.raises(UserError, match="no scores on task 'dog-rum'; did you mean 'dog-run'"):
        scores.select(["dog-rum"])
