"""Statistics against rliable, against numbers worked out by hand, and with values missing."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surefoot.errors import UserError
from surefoot.report import statistics
from surefoot.report.statistics import (
    AGGREGATES,
    estimate,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from rliable import library as rliable
    from rliable import metrics

REFERENCE = {
    "IQM": metrics.aggregate_iqm,
    "median": metrics.aggregate_median,
    "mean": metrics.aggregate_mean,
    "optimality gap": metrics.aggregate_optimality_gap,
}


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def by_task(scores: np.ndarray) -> list[np.ndarray]:
    """From rliable's [seeds, tasks] to one [seeds, 1] per task."""
    return [scores[:, [task]] for task in range(scores.shape[1])]


def test_every_aggregate_has_its_counterpart() -> None:
    assert AGGREGATES.keys() == REFERENCE.keys()


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("shape", [(10, 25), (3, 2), (1, 7), (5, 1), (1, 1)])
def test_point_estimates_are_rliables(name: str, shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(shape).normal(0.6, 0.5, shape)
    expected = REFERENCE[name](scores)
    np.testing.assert_allclose(AGGREGATES[name](by_task(scores)), [expected], rtol=1e-12)


@pytest.mark.parametrize("name", AGGREGATES)
def test_intervals_are_rliables_up_to_the_resampling(name: str) -> None:
    """rliable ignores its own random state, so the global one is seeded; both are Monte Carlo estimates."""
    scores = np.random.default_rng(3).normal(0.5, 0.3, (8, 6))
    np.random.seed(11)  # noqa: NPY002  (rliable draws from it)
    _, ends = rliable.get_interval_estimates({"a": scores}, lambda x: np.array([REFERENCE[name](x)]), reps=4000)
    ours = estimate(by_task(scores), AGGREGATES[name], generator(), 0.95, 4000)
    width = float(ends["a"][1, 0] - ends["a"][0, 0])
    assert width > 0.0
    np.testing.assert_allclose([ours.low[0], ours.high[0]], ends["a"][:, 0], atol=0.06 * width)


def test_probability_of_improvement_is_rliables() -> None:
    random = np.random.default_rng(5)
    # Rounded, so that there are ties.
    first, second = (random.normal(at, 1.0, (9, 4)).round(1) for at in (0.3, 0.0))
    ours = probability_of_improvement(by_task(first), by_task(second), generator(), 0.95, 3000)
    assert ours.value[0] == pytest.approx(float(metrics.probability_of_improvement(first, second)), rel=1e-12)
    np.random.seed(12)  # noqa: NPY002  (rliable draws from it)
    _, ends = rliable.get_interval_estimates({"a,b": (first, second)}, metrics.probability_of_improvement, reps=2000)
    expected = np.ravel(ends["a,b"])
    np.testing.assert_allclose([ours.low[0], ours.high[0]], expected, atol=0.1 * (expected[1] - expected[0]))


def test_performance_profile_is_rliables() -> None:
    scores = np.random.default_rng(6).uniform(0.0, 1.0, (6, 5))
    thresholds = np.linspace(0.0, 1.0, 11)
    ours = performance_profile(by_task(scores), thresholds, generator(), 0.95, 500)
    np.random.seed(13)  # noqa: NPY002  (rliable draws from it)
    values, ends = rliable.create_performance_profile({"a": scores}, thresholds, reps=500)
    np.testing.assert_allclose(ours.value, values["a"], rtol=1e-12)
    np.testing.assert_allclose(np.stack([ours.low, ours.high]), ends["a"], atol=0.08)
    assert (ours.runs == 30).all()


def test_numbers_worked_out_by_hand() -> None:
    """Ten scores 0..9 over two tasks: a quarter of ten rounds down to two at each end."""
    scores = [np.arange(0.0, 6.0)[:, None], np.arange(6.0, 10.0)[:, None]]
    assert iqm(scores) == [np.mean([2, 3, 4, 5, 6, 7])]
    assert mean(scores) == [(2.5 + 7.5) / 2]
    assert median(scores) == [(2.5 + 7.5) / 2]
    assert optimality_gap(scores, target=8.0) == [8.0 - np.mean([0, 1, 2, 3, 4, 5, 6, 7, 8, 8])]
    odd = [*scores, np.array([[100.0]])]
    assert median(odd) == [7.5]


def test_probability_of_improvement_by_hand() -> None:
    """Against 1 and 2: 2 wins, ties, so 1.5 of 2; 0 loses both. Mean over the pairs of one task: 1.5 / 4."""
    ours = probability_of_improvement([np.array([2.0, 0.0])], [np.array([1.0, 2.0])], generator())
    assert ours.value == [1.5 / 4]
    assert (ours.runs, ours.tasks) == ([4], [1])


def test_missing_values_are_left_out_where_they_stand_and_counted() -> None:
    nan = np.nan
    scores = [np.array([[1.0, 1.0, nan], [3.0, nan, nan]]), np.array([[5.0, 6.0, nan]])]
    ours = estimate(scores, mean, generator())
    np.testing.assert_array_equal(ours.value, [3.5, 3.5, nan])
    assert ours.runs.tolist() == [3, 2, 0]
    assert ours.tasks.tolist() == [2, 2, 0]
    np.testing.assert_array_equal(np.isnan(ours.low), [False, False, True])
    np.testing.assert_array_equal(iqm(scores), [np.mean([1, 3, 5]), 3.5, nan])
    np.testing.assert_array_equal(median(scores), [3.5, 3.5, nan])


def test_unequal_seeds_weigh_tasks_alike_in_the_mean_and_runs_alike_in_the_iqm() -> None:
    scores = [np.zeros((6, 1)), np.ones((2, 1))]
    assert mean(scores) == [0.5]
    assert iqm(scores) == [0.0]  # two of eight are cut at each end, both of the ones among them


def test_one_seed_has_an_interval_of_no_width() -> None:
    ours = estimate([np.array([[0.3, 0.7]])], iqm, generator())
    np.testing.assert_array_equal(ours.low, ours.value)
    np.testing.assert_array_equal(ours.high, [0.3, 0.7])


def test_seeds_are_drawn_within_tasks_only() -> None:
    """Two tasks whose seeds agree among themselves: no resample can change anything."""
    ours = estimate([np.full((4, 1), 0.2), np.full((4, 1), 0.9)], mean, generator())
    assert ours.low == ours.high == ours.value


def test_points_of_a_curve_move_together() -> None:
    """A seed that is 1 higher everywhere: the interval of a difference of two points has no width."""
    curve = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])

    def difference(scores: list[np.ndarray]) -> np.ndarray:
        means = mean(scores)
        return means[..., 1:] - means[..., :1]

    ours = estimate([curve], difference, generator())
    np.testing.assert_allclose([ours.low[0], ours.high[0]], 5.0, rtol=1e-12)


def test_the_generator_decides_and_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = by_task(np.random.default_rng(1).normal(size=(5, 3)))
    once = estimate(scores, iqm, generator(), resamples=300)
    monkeypatch.setattr(statistics, "_CHUNK_VALUES", 40)
    again = estimate(scores, iqm, generator(), resamples=300)
    assert (once.low, once.high) == (again.low, again.high)
    other = estimate(scores, iqm, np.random.default_rng(8), resamples=300)
    assert other.low != once.low


def test_intervals_are_wider_at_a_higher_confidence() -> None:
    scores = by_task(np.random.default_rng(1).normal(size=(5, 3)))
    wide, narrow = (estimate(scores, iqm, generator(), confidence) for confidence in (0.95, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_papers_grid_takes_little_memory() -> None:
    """25 tasks x 10 seeds x 41 points x 2000 resamples are 164 MB of scores; they are not there at once."""
    scores = [np.random.default_rng(task).uniform(size=(10, 41)) for task in range(25)]
    tracemalloc.start()
    ours = estimate(scores, iqm, generator(), resamples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    assert ((ours.low < ours.value) & (ours.value < ours.high)).all()


SCORES = st.lists(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-10, 10)), min_size=1, max_size=4
)


@given(SCORES, st.sampled_from(["IQM", "mean", "median"]), st.floats(0.1, 5.0), st.floats(-3.0, 3.0))
def test_aggregates_lie_within_the_scores_and_follow_their_scale(
    scores: list[np.ndarray], name: str, factor: float, shift: float
) -> None:
    value = AGGREGATES[name](scores)
    pool = np.concatenate(scores)
    assert (value >= pool.min(axis=0) - 1e-9).all()
    assert (value <= pool.max(axis=0) + 1e-9).all()
    scaled = AGGREGATES[name]([factor * own + shift for own in scores])
    np.testing.assert_allclose(scaled, factor * value + shift, atol=1e-9)


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_tasks_does_not_matter(scores: list[np.ndarray], random: object) -> None:
    shuffled = [own[::-1] for own in scores[::-1]]
    for aggregate in AGGREGATES.values():
        np.testing.assert_allclose(aggregate(shuffled), aggregate(scores), atol=1e-9)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([], "at least one task"),
        ([np.zeros((0, 3))], "one seed in each"),
        ([np.zeros(3)], r"\[seeds, points\]"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "as many evaluation points, got 3, 4"),
    ],
)
def test_what_has_no_statistics_is_refused(scores: list[np.ndarray], said: str) -> None:
    with pytest.raises(UserError, match=said):
        estimate(scores, iqm, generator())


def test_impossible_requests_are_refused() -> None:
    one = [np.zeros((2, 1))]
    with pytest.raises(UserError, match=r"confidence must be between 0 and 1, such as 0.95, got 95"):
        estimate(one, iqm, generator(), confidence=95)
    with pytest.raises(UserError, match="resamples must be at least 1, got 0"):
        estimate(one, iqm, generator(), resamples=0)
    with pytest.raises(UserError, match="equal tasks, got 1 and 2"):
        probability_of_improvement(one, one * 2, generator())
    with pytest.raises(UserError, match="one evaluation point, got 3"):
        performance_profile([np.zeros((2, 3))], np.zeros(1), generator())
