"""Bootstrap intervals: draw for draw as rliable's, as chance has it, and where runs are few or missing."""

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


# ---------------------------------------------------------------- as rliable


def rliables_draws(
    samples: Sequence[np.ndarray], function: Callable[..., float | np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Let rliable make intervals; return both ends, and how often it drew each run of each sample, [REPS, P]."""
    seen: list[tuple[np.ndarray, ...]] = []

    def watched(*drawn: np.ndarray) -> np.ndarray:
        seen.append(drawn)
        return np.atleast_1d(function(*drawn))

    np.random.seed(11)  # noqa: NPY002  (rliable's own random state has no effect)
    _, ends = library.get_interval_estimates({"a": samples[0] if len(samples) == 1 else samples}, watched, reps=REPS)
    # Every score is there once, so that it tells which run it is of. Tasks lie one after another.
    draws = [
        np.stack([(drawn[number].T[:, None, :] == own.T[:, :, None]).sum(axis=2).ravel() for drawn in seen[-REPS:]])
        for number, own in enumerate(samples)
    ]
    return np.asarray(ends["a"]), draws


def with_draws(monkeypatch: pytest.MonkeyPatch, draws: Sequence[np.ndarray]) -> None:
    left: Iterator[np.ndarray] = iter(draws)
    monkeypatch.setattr(intervals, "_draw", lambda *_: next(left))


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("shape", [(8, 6), (10, 3), (3, 5), (5, 1)])
def test_from_its_draws_come_rliables_intervals(
    name: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.random.default_rng(3).normal(0.5, 0.3, shape)
    ends, draws = rliables_draws([scores], REFERENCE[name])
    with_draws(monkeypatch, draws)
    ours = estimate(by_task(scores), AGGREGATES[name], generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, rtol=1e-12)
    assert ours.low < ours.high


def test_from_its_draws_come_rliables_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(4).uniform(size=(6, 5))
    thresholds = np.linspace(0.0, 1.0, 11)
    ends, draws = rliables_draws([scores], lambda drawn: library.score_distributions(drawn, thresholds))
    with_draws(monkeypatch, draws)
    ours = performance_profile(by_task(scores), thresholds, generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, atol=1e-12)


def test_from_its_draws_come_rliables_probabilities_of_improvement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with seeds of its own number, as rliable allows here."""
    random = np.random.default_rng(5)
    samples = [random.normal(0.3, 1.0, (7, 4)), random.normal(0.0, 1.0, (4, 4))]
    ends, draws = rliables_draws(samples, metrics.probability_of_improvement)
    with_draws(monkeypatch, draws)
    ours = probability_of_improvement(by_task(samples[0]), by_task(samples[1]), generator(), resamples=REPS)
    np.testing.assert_allclose([ours.low, ours.high], ends, rtol=1e-12)


@pytest.mark.parametrize("name", AGGREGATES)
def test_from_our_draws_come_rliables_intervals_up_to_chance(name: str) -> None:
    """Over ten generators, an interval's ends are where rliable's are, as far as 4000 resamples can tell."""
    scores = np.random.default_rng(3).normal(0.5, 0.3, (8, 6))
    np.random.seed(11)  # noqa: NPY002  (rliable's own random state has no effect)
    _, expected = library.get_interval_estimates({"a": scores}, lambda x: np.array([REFERENCE[name](x)]), reps=4000)
    found = [estimate(by_task(scores), AGGREGATES[name], generator(seed), resamples=4000) for seed in range(10)]
    low, high = np.mean([one.low for one in found]), np.mean([one.high for one in found])
    width = float(np.diff(expected["a"], axis=0)[0, 0])
    # A 2.5% end of 4000 draws has a standard error of 1.1% of the width.
    np.testing.assert_allclose([low, high], expected["a"][:, 0], atol=0.04 * width)


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize(("confidence", "ends"), [(0.9, (0.0, 1.0)), (0.4, (0.5, 0.5))])
def test_an_interval_by_hand(confidence: float, ends: tuple[float, float]) -> None:
    """Of runs 0 and 1, resamples have mean 0, 1/2 and 1 with probability 1/4, 1/2 and 1/4."""
    ours = estimate(scores_of([0.0, 1.0]), mean, generator(), confidence)
    assert (ours.low, ours.high) == ends


def test_an_interval_of_many_runs_is_the_normal_one() -> None:
    """The mean of 400 runs: its standard error, times 1.645 on both sides for 90%."""
    scores = np.random.default_rng(2).exponential(size=400)
    ours = estimate(scores_of(scores), mean, generator(), 0.9, 20_000)
    error = scores.std() / np.sqrt(scores.size)
    np.testing.assert_allclose(
        [ours.low, ours.high], ours.value + 1.645 * error * np.array([[-1], [1]]), atol=error / 8
    )


def test_each_task_draws_as_many_runs_as_it_has() -> None:
    scores = scores_of(np.arange(5.0), np.arange(3.0), [], [1.0])
    seen: list[WeightedRuns] = []

    def watch(runs: WeightedRuns) -> np.ndarray:
        seen.append(runs)
        return mean(runs)

    estimate(scores, watch, generator(), resamples=20_000)
    value, resamples = seen[0], seen[1]
    assert (value.drawn, value.tasks) == ([9], 3)
    assert (resamples.drawn == 9).all()
    for task, seeds in enumerate((5, 3, 1)):
        own = resamples.weights[:, resamples.task == task]
        np.testing.assert_allclose(own.sum(axis=1), 1.0)
        # Each draw is any run: counts are binomial, with mean 1 and variance 1 - 1/n.
        np.testing.assert_allclose(own.mean(axis=0) * seeds, 1.0, atol=0.03)
        np.testing.assert_allclose(own.var(axis=0) * seeds**2, 1.0 - 1.0 / seeds, atol=0.05)


def test_runs_are_drawn_within_tasks_only() -> None:
    """Two tasks whose runs agree among themselves: no resample can change anything."""
    ours = estimate(scores_of(np.full(4, 0.25), np.full(4, 0.75)), mean, generator())
    assert ours.low == ours.high == ours.value


def test_the_points_of_a_curve_move_together() -> None:
    """A run that is 5 higher at the second point is drawn for both or for neither."""
    curve = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])
    ours = estimate(scores_of(curve), mean, generator())
    np.testing.assert_allclose(ours.low[1] - ours.low[0], 5.0)
    seen: list[np.ndarray] = []

    def keep(runs: WeightedRuns) -> np.ndarray:
        seen.append(runs.weights)
        return iqm(runs)

    estimate(scores_of(curve), keep, generator(), resamples=50)
    np.testing.assert_array_equal(seen[2], seen[3])  # after the two of the value
    assert np.ptp(seen[2], axis=0).any()


# ---------------------------------------------------------------- few runs, missing scores


def test_one_seed_has_an_interval_of_no_width() -> None:
    ours = estimate(scores_of([[0.3, 0.7]]), iqm, generator())
    np.testing.assert_array_equal(ours.low, ours.value)
    np.testing.assert_array_equal(ours.high, [0.3, 0.7])


def test_a_missing_score_widens_the_interval_at_its_point() -> None:
    random = np.random.default_rng(8)
    curve = np.repeat(random.normal(size=(12, 1)), 2, axis=1)
    curve[::2, 1] = np.nan
    ours = estimate(scores_of(curve), mean, generator())
    assert ours.runs.tolist() == [12, 6]
    assert ours.high[1] - ours.low[1] > 1.1 * (ours.high[0] - ours.low[0])


def test_no_resample_loses_a_task() -> None:
    """Only one run of ten has a score on b, and a third of the resamples do not draw it; it then enters once."""
    scores = scores_of(np.zeros(10), [1.0] + [np.nan] * 9)
    seen: list[WeightedRuns] = []

    def watch(runs: WeightedRuns) -> np.ndarray:
        seen.append(runs)
        return mean(runs)

    estimate(scores, watch, generator())
    drawn, often = np.unique(seen[1].drawn - 10, return_counts=True)
    assert drawn.tolist() == list(range(1, len(drawn) + 1))
    # Not drawn, or once: 0.9^10 + 10 x 0.1 x 0.9^9 of all resamples.
    assert often[0] / often.sum() == pytest.approx(0.9**10 + 0.9**9, abs=0.04)
    for aggregate in AGGREGATES.values():
        ours = estimate(scores, aggregate, generator())
        assert ours.low == pytest.approx(ours.value)
        assert ours.high == pytest.approx(ours.value)
    assert estimate(scores, mean, generator()).value == [0.5]


def test_tasks_have_intervals_of_their_own() -> None:
    scores = scores_of([[0.0, 1.0], [1.0, 2.0], [5.0, 9.0]], [[3.0, 4.0]])
    ours = estimate_tasks(scores, generator(), mean)
    np.testing.assert_allclose(ours["a"].value, [2.0, 4.0])
    np.testing.assert_allclose(ours["b"].value, [3.0, 4.0])
    assert (ours["a"].low < ours["a"].value).all()
    assert (ours["b"].low == ours["b"].high).all()
    assert ours["a"].runs.tolist() == [3, 3]
    assert ours["b"].tasks.tolist() == [1, 1]


# ---------------------------------------------------------------- chance and size


def test_the_generator_decides_and_nothing_else() -> None:
    scores = by_task(np.random.default_rng(1).normal(size=(5, 3)))
    np.random.seed(1)  # noqa: NPY002  (to show that it has no effect)
    once = estimate(scores, iqm, generator(), resamples=300)
    np.random.seed(2)  # noqa: NPY002
    again = estimate(scores, iqm, generator(), resamples=300)
    assert (once.low, once.high) == (again.low, again.high)
    assert estimate(scores, iqm, generator(8), resamples=300).low != once.low


def test_chunks_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where two algorithms have different numbers of runs."""
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
    """20,000 resamples of 250 runs are 40 MB of weights; beside the draws, only a part is there at once."""
    scores = by_task(np.random.default_rng(0).uniform(size=(10, 25)))
    tracemalloc.start()
    estimate(scores, iqm, generator(), resamples=20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@pytest.mark.parametrize("missing", [False, True])
def test_the_papers_grid_takes_little_memory(missing: bool) -> None:
    """25 tasks x 10 seeds x 41 points x 2000 resamples are 164 MB of scores; they are not there at once."""
    values = np.random.default_rng(0).uniform(size=(25, 10, 41))
    if missing:
        values[:, :2, 30:] = np.nan
    scores = Scores([f"task-{number}" for number in range(25)], list(values))
    tracemalloc.start()
    ours = estimate(scores, iqm, generator(), resamples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6
    assert ((ours.low < ours.value) & (ours.value < ours.high)).all()
    assert ours.runs[-1] == (200 if missing else 250)


def test_several_aggregates_share_their_resamples() -> None:
    scores = by_task(np.random.default_rng(3).normal(0.6, 0.5, (5, 4, 3)))
    together = estimate_all(scores, AGGREGATES, generator(), resamples=200)
    for name, aggregate in AGGREGATES.items():
        alone = estimate(scores, aggregate, generator(), resamples=200)
        for field in ("value", "low", "high", "runs", "tasks"):
            np.testing.assert_array_equal(getattr(together[name], field), getattr(alone, field))
