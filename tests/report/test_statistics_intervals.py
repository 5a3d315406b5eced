"""Bootstrap intervals against rliable on the same draws, hand-computed values, few runs and missing scores."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from surefoot.report.statistics import (
    AGGREGATES,
    Scores,
    WeightedRuns,
    estimate,
    estimate_all,
    estimate_tasks,
    intervals,
    iqm,
    mean,
    performance_profile,
    probability_of_improvement,
)
from tests.report.statistics_cases import REFERENCE, by_task, generator, library, metrics, scores_of

REPS = 300


# ---------------------------------------------------------------- rliable


def rliables_draws(
    samples: Sequence[np.ndarray], function: Callable[..., float | np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return rliable's intervals, and the number of draws of each run of each sample, [REPS, P]."""
    calls: list[tuple[np.ndarray, ...]] = []

    def recorded(*drawn: np.ndarray) -> np.ndarray:
        calls.append(drawn)
        return np.atleast_1d(function(*drawn))

    np.random.seed(11)  # noqa: NPY002  (rliable's own random state has no effect)
    _, ends = library.get_interval_estimates({"a": samples[0] if len(samples) == 1 else samples}, recorded, reps=REPS)
    # All scores are distinct, so that each identifies its run. Runs are ordered by task.
    draws = [
        np.stack([(drawn[number].T[:, None, :] == own.T[:, :, None]).sum(axis=2).ravel() for drawn in calls[-REPS:]])
        for number, own in enumerate(samples)
    ]
    return np.asarray(ends["a"]), draws


def with_draws(monkeypatch: pytest.MonkeyPatch, draws: Sequence[np.ndarray]) -> None:
    left: Iterator[np.ndarray] = iter(draws)
    monkeypatch.setattr(intervals, "_draw", lambda *_: next(left))


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("shape", [(8, 6), (10, 3), (3, 5), (5, 1)])
def test_intervals_equal_rliable_on_the_same_draws(
    name: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.random.default_rng(3).normal(0.5, 0.3, shape)
    ends, draws = rliables_draws([scores], REFERENCE[name])
    with_draws(monkeypatch, draws)
    ours = estimate(by_task(scores), AGGREGATES[name], generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, rtol=1e-12)
    assert ours.low < ours.high


def test_profile_intervals_equal_rliable_on_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(4).uniform(size=(6, 5))
    thresholds = np.linspace(0.0, 1.0, 11)
    ends, draws = rliables_draws([scores], lambda drawn: library.score_distributions(drawn, thresholds))
    with_draws(monkeypatch, draws)
    ours = performance_profile(by_task(scores), thresholds, generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, atol=1e-12)


def test_improvement_intervals_equal_rliable_on_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unequal numbers of seeds, which rliable supports here."""
    random = np.random.default_rng(5)
    samples = [random.normal(0.3, 1.0, (7, 4)), random.normal(0.0, 1.0, (4, 4))]
    ends, draws = rliables_draws(samples, metrics.probability_of_improvement)
    with_draws(monkeypatch, draws)
    ours = probability_of_improvement(by_task(samples[0]), by_task(samples[1]), generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, rtol=1e-12)


def test_intervals_equal_rliable_in_distribution() -> None:
    """On average over ten generators, within the standard error of 4000 resamples."""
    scores = np.random.default_rng(3).normal(0.5, 0.3, (8, 6))
    np.random.seed(11)  # noqa: NPY002  (rliable's own random state has no effect)
    _, expected = library.get_interval_estimates({"a": scores}, lambda x: np.array([REFERENCE["IQM"](x)]), reps=4000)
    found = [estimate(by_task(scores), iqm, generator(seed), resamples=4000) for seed in range(10)]
    low, high = np.mean([one.low for one in found]), np.mean([one.high for one in found])
    width = float(np.diff(expected["a"], axis=0)[0, 0])
    # A 2.5% end of 4000 draws has a standard error of 1.1% of the width.
    np.testing.assert_allclose([low, high], expected["a"][:, 0], atol=0.04 * width)


# ---------------------------------------------------------------- hand-computed


@pytest.mark.parametrize(("confidence", "ends"), [(0.9, (0.0, 1.0)), (0.4, (0.5, 0.5))])
def test_interval_equals_hand_computed_ends(confidence: float, ends: tuple[float, float]) -> None:
    """Of runs 0 and 1, resamples have mean 0, 1/2 and 1 with probability 1/4, 1/2 and 1/4."""
    ours = estimate(scores_of([0.0, 1.0]), mean, generator(), confidence)
    assert (ours.low, ours.high) == ends


def test_interval_of_many_runs_is_that_of_the_normal_distribution() -> None:
    """The mean of 400 runs: its standard error, times 1.645 on both sides for 90%."""
    scores = np.random.default_rng(2).exponential(size=400)
    ours = estimate(scores_of(scores), mean, generator(), 0.9, 5_000)
    error = scores.std() / np.sqrt(scores.size)
    np.testing.assert_allclose(
        [ours.low, ours.high], ours.value + 1.645 * error * np.array([[-1], [1]]), atol=error / 8
    )


def test_each_task_draws_its_number_of_runs() -> None:
    scores = scores_of(np.arange(5.0), np.arange(3.0), [], [1.0])
    calls: list[WeightedRuns] = []

    def record(runs: WeightedRuns) -> np.ndarray:
        calls.append(runs)
        return mean(runs)

    estimate(scores, record, generator(), resamples=20_000)
    value, resamples = calls[0], calls[1]
    assert (value.drawn, value.tasks) == ([9], 3)
    assert (resamples.drawn == 9).all()
    for task, seeds in enumerate((5, 3, 1)):
        own = resamples.weights[:, resamples.task == task]
        np.testing.assert_allclose(own.sum(axis=1), 1.0)
        # Counts are binomial, with mean 1 and variance 1 - 1/n.
        np.testing.assert_allclose(own.mean(axis=0) * seeds, 1.0, atol=0.03)
        np.testing.assert_allclose(own.var(axis=0) * seeds**2, 1.0 - 1.0 / seeds, atol=0.05)


def test_runs_are_drawn_within_tasks() -> None:
    """With equal runs in each of two tasks, all resamples are equal."""
    ours = estimate(scores_of(np.full(4, 0.25), np.full(4, 0.75)), mean, generator())
    assert ours.low == ours.high == ours.value


def test_points_of_a_curve_share_their_resamples() -> None:
    """A run that is 5 higher at the second point is drawn for both points or for neither."""
    curve = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])
    ours = estimate(scores_of(curve), mean, generator())
    np.testing.assert_allclose(ours.low[1] - ours.low[0], 5.0)
    calls: list[np.ndarray] = []

    def keep(runs: WeightedRuns) -> np.ndarray:
        calls.append(runs.weights)
        return iqm(runs)

    estimate(scores_of(curve), keep, generator(), resamples=50)
    np.testing.assert_array_equal(calls[2], calls[3])  # after the two calls for the value
    assert np.ptp(calls[2], axis=0).any()


# ---------------------------------------------------------------- few runs, missing scores


def test_interval_of_one_seed_has_zero_width() -> None:
    ours = estimate(scores_of([[0.3, 0.7]]), iqm, generator())
    np.testing.assert_array_equal(ours.low, ours.value)
    np.testing.assert_array_equal(ours.high, [0.3, 0.7])


def test_missing_scores_widen_the_interval_at_their_point() -> None:
    random = np.random.default_rng(8)
    curve = np.repeat(random.normal(size=(12, 1)), 2, axis=1)
    curve[::2, 1] = np.nan
    ours = estimate(scores_of(curve), mean, generator())
    assert ours.runs.tolist() == [12, 6]
    assert ours.high[1] - ours.low[1] > 1.1 * (ours.high[0] - ours.low[0])


def test_every_resample_has_every_task() -> None:
    """Only one run of ten has a score on b, and a third of the resamples do not draw it; it then enters once."""
    scores = scores_of(np.zeros(10), [1.0] + [np.nan] * 9)
    calls: list[WeightedRuns] = []

    def record(runs: WeightedRuns) -> np.ndarray:
        calls.append(runs)
        return mean(runs)

    estimate(scores, record, generator())
    drawn, often = np.unique(calls[1].drawn - 10, return_counts=True)
    assert drawn.tolist() == list(range(1, len(drawn) + 1))
    # Not drawn, or once: 0.9^10 + 10 x 0.1 x 0.9^9 of all resamples.
    assert often[0] / often.sum() == pytest.approx(0.9**10 + 0.9**9, abs=0.04)
    for aggregate in AGGREGATES.values():
        ours = estimate(scores, aggregate, generator())
        assert ours.low == pytest.approx(ours.value)
        assert ours.high == pytest.approx(ours.value)
    assert estimate(scores, mean, generator()).value == [0.5]


def test_tasks_have_separate_intervals() -> None:
    scores = scores_of([[0.0, 1.0], [1.0, 2.0], [5.0, 9.0]], [[3.0, 4.0]])
    ours = estimate_tasks(scores, generator(), mean)
    np.testing.assert_allclose(ours["a"].value, [2.0, 4.0])
    np.testing.assert_allclose(ours["b"].value, [3.0, 4.0])
    assert (ours["a"].low < ours["a"].value).all()
    assert (ours["b"].low == ours["b"].high).all()
    assert ours["a"].runs.tolist() == [3, 3]
    assert ours["b"].tasks.tolist() == [1, 1]


# ---------------------------------------------------------------- randomness and memory


def test_intervals_depend_only_on_the_generator() -> None:
    scores = by_task(np.random.default_rng(1).normal(size=(5, 3)))
    np.random.seed(1)  # noqa: NPY002  (to show that it has no effect)
    once = estimate(scores, iqm, generator(), resamples=300)
    np.random.seed(2)  # noqa: NPY002
    again = estimate(scores, iqm, generator(), resamples=300)
    assert (once.low, once.high) == (again.low, again.high)
    assert estimate(scores, iqm, generator(8), resamples=300).low != once.low


def test_intervals_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Including two algorithms with different numbers of runs."""
    random = np.random.default_rng(1)
    first, second = by_task(random.normal(size=(5, 3))), by_task(random.normal(size=(2, 3)))

    def both() -> list[np.ndarray]:
        curve = estimate(first, iqm, generator(), resamples=301)
        improvement = probability_of_improvement(first, second, generator(), resamples=301)
        return [curve.low, curve.high, improvement.low, improvement.high]

    whole = both()
    monkeypatch.setattr(intervals, "_CHUNK_VALUES", 40)
    np.testing.assert_allclose(both(), whole, rtol=1e-12)


def test_intervals_are_wider_at_a_higher_confidence() -> None:
    scores = by_task(np.random.default_rng(1).normal(size=(5, 3)))
    wide, narrow = (estimate(scores, iqm, generator(), confidence) for confidence in (0.95, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_many_resamples_take_little_memory() -> None:
    """20,000 resamples of 250 runs are 40 MB of weights, of which only a part is in memory in addition to the draws."""
    scores = by_task(np.random.default_rng(0).uniform(size=(10, 25)))
    tracemalloc.start()
    estimate(scores, iqm, generator(), resamples=20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


def test_curves_of_many_tasks_take_little_memory() -> None:
    """25 tasks x 10 seeds x 41 points x 2000 resamples are 164 MB of scores, which are not in memory at once."""
    values = np.random.default_rng(0).uniform(size=(25, 10, 41))
    values[:, :2, 30:] = np.nan
    scores = Scores([f"task-{number}" for number in range(25)], list(values))
    tracemalloc.start()
    ours = estimate(scores, iqm, generator(), resamples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6
    assert ((ours.low < ours.value) & (ours.value < ours.high)).all()
    assert (ours.runs[0], ours.runs[-1]) == (250, 200)


def test_estimates_of_several_aggregates_equal_separate_ones() -> None:
    scores = by_task(np.random.default_rng(3).normal(0.6, 0.5, (5, 4, 3)))
    together = estimate_all(scores, AGGREGATES, generator(), resamples=200)
    for name, aggregate in AGGREGATES.items():
        alone = estimate(scores, aggregate, generator(), resamples=200)
        for field in ("value", "low", "high", "runs", "tasks"):
            np.testing.assert_array_equal(getattr(together[name], field), getattr(alone, field))
