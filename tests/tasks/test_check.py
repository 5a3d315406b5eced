"""``check_env``: findings for one fault at a time, and none for healthy environments."""

import dataclasses
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

import surefoot
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.tasks import get_task, make_vector
from surefoot.tasks.check import KINDS, check_env, checker, random_rollout
from surefoot.tasks.check.spaces import short
from tests import traits
from tests.tasks import broken, zoo

HUGE = float(np.finfo(np.float32).max)
STEPS, EPISODES_STEPS = 130, 300
"""The second number where several whole episodes are needed."""

FAULTS = [
    (broken.OBSERVES_A_CHOICE, {"observation-space"}, "FlattenObservation"),
    (broken.OBSERVES_NO_NUMBERS, {"observation-space"}, "at least one number"),
    (broken.with_spaces(action=Discrete(3)), {"action-space"}, "Discrete(3)"),
    (broken.with_spaces(action=MultiDiscrete([3, 3])), {"action-space"}, "MultiDiscrete"),
    (broken.with_spaces(action=Box(-5, 5, (2,), np.int64)), {"action-space"}, "int64"),
    (broken.with_spaces(action=Box(-np.inf, np.inf, (2,))), {"action-bounds"}, "-inf and inf"),
    (broken.with_spaces(action=Box(-1.0, np.float32([1, -1]))), {"action-bounds"}, "entry 1"),
    (broken.with_spaces(action=Box(-HUGE, HUGE, (2,))), {"action-bounds"}, "3.40282e+38"),
    (broken.with_spaces(action=Box(-2e4, 2e4, (2,))), {"action-bounds-wide"}, "-20000 and 20000"),
    (broken.with_spaces(action=Box(-0.2, 1.0, (2,))), {"action-bounds-asymmetric"}, "-0.2 and 1"),
    (broken.ObservesParts, {"observation-dict"}, "place [2], size [1]"),
    (broken.ObservesNestedParts, {"observation-dict"}, "parts.0 [2], parts.1.size [1]"),
    (broken.MissesAPart, {"observation-dict", "api"}, "obs keys: ['place'], space keys: ['place', 'size']"),
    (broken.HasAnExtraPart, {"observation-dict", "gymnasium"}, "obs keys: ['place', 'size', 'colour']"),
    (broken.ObservesPixels, {"observation-pixels"}, "(4, 4, 3)"),
    (
        broken.normalises_observations,
        {"observation-normalised", "reset-incomplete"},
        "NormalizeObservation around Healthy",
    ),
    (broken.normalises_rewards, {"reward-normalised", "reset-incomplete"}, "NormalizeReward around Healthy"),
    (broken.HasItsOwnStatistics, {"observation-normalised"}, "HasItsOwnStatistics"),
    (broken.ChangesItsSpace, {"spaces-change"}, "has become Box(-10.0, 11.0"),
    (broken.ResetReturnsObservationOnly, {"api"}, "`env.reset()` was not a tuple of the form `(obs, info)`"),
    (broken.StepReturnsFour, {"api"}, "step 1: Core environment is written in old step API"),
    (broken.ReturnsLists, {"gymnasium"}, "was not a tuple of the form `(obs, info)`"),
    (broken.TakesNoSeed, {"api"}, "unexpected keyword argument 'seed'"),
    (broken.TakesNoOptions, {"gymnasium"}, "does not provide an `options`"),
    (broken.Raises, {"raises"}, "step 3 raised ValueError: the third step breaks (broken.py, line"),
    (broken.RaisesAtTheBounds, {"raises"}, "step 1 with every action at its lower bound raised AssertionError"),
    (broken.ObservesTooLittle, {"api"}, "reset(seed=0): the observation has 1 numbers, its space has 2"),
    (broken.ObservesNothing, {"observation-dict", "api"}, "object of type 'NoneType' has no len()"),
    (broken.ObservesText, {"api"}, "reset(seed=0): the observation should be a NumPy array, actual type: str"),
    (broken.ObservesNan, {"observation-not-finite"}, "entry 1 of the observation of step 4 is nan"),
    (broken.ObservesAboveFloat32, {"observation-not-finite"}, "inf"),
    (broken.ObservesOutsideItsSpace, {"observation-outside"}, "outside -0.1 to 0.1"),
    (broken.ObservesAColumn, {"observation-outside"}, "has shape (2, 1), its space (2,)"),
    (broken.ObservesFloat64, {"gymnasium"}, "has the dtype float64, its space float32"),
    (broken.ObservesComplexNumbers, {"api"}, "reset(seed=0): observation has the dtype complex"),
    (broken.ObservesIntegers, {"observation-integers"}, "int64"),
    (broken.ObservesTheTimeOfDay, {"observation-large"}, "1.7e+09"),
    (broken.ObservesAConstant, {"observation-constant"}, "1 of 2 entries: 1"),
    (broken.ObservesOnlyTheStart, {"observation-frozen"}, f"in {STEPS} steps"),
    (broken.SharesItsBuffer, {"observation-aliased"}, "step 1 changed the observation"),
    (broken.ArrayReward, {"reward-unusable"}, "step 1: a reward of shape (2,), expected one number"),
    (broken.NoReward, {"reward-unusable"}, "step 1: a reward of type NoneType"),
    (broken.InfiniteReward, {"reward-not-finite", "reward-constant"}, "the reward of step 4"),
    (broken.EndsWithNone, {"gymnasium"}, "Expects `truncated` signal to be a boolean, actual type: NoneType"),
    (broken.EndsWithAnArray, {"api"}, "Expects `terminated` signal to be a boolean, actual type: numpy.ndarray"),
    (broken.NeverEnds, {"never-ends"}, f"in {STEPS} steps"),
    (broken.TerminatesAndTruncates, {"both-flags"}, "5 of 5 episodes, after 25 steps"),
    (broken.TimeLimitTerminates, {"time-limit-terminates"}, "5 of 5 episodes terminated after exactly 60 steps"),
    (broken.TimeLimitOrFallTerminates, {"time-limit-terminates"}, "steps of random actions, the others before"),
    (broken.TimeLimitSetsBoth, {"time-limit-terminates"}, "steps of random actions, the others before"),
    (broken.AlwaysEndsEarly, {"time-limit-terminates"}, "after exactly 12 steps"),
    (broken.Autoresets, {"autoreset"}, "'final_obs'"),
    (broken.StepAfterEndChangesState, {"step-after-end"}, "the episodes after it differ in the first observation"),
    (broken.LargeRewards, {"reward-large"}, "root mean square"),
    (broken.SmallRewards, {"reward-small"}, f"at most, in {STEPS} steps"),
    (broken.ConstantReward, {"reward-constant"}, f"1 in each of {STEPS} steps"),
    (broken.ZeroReward, {"reward-constant"}, f"0 in each of {STEPS} steps"),
    (broken.IgnoresItsSeed, {"seed-ignored"}, "seed 0 in two copies"),
    (broken.FixedStart, {"seed-no-effect"}, "seeds 0 and 1000"),
    (broken.UnseededNoise, {"replay-differs"}, "two copies differ at step 1 (episode 0)"),
    (broken.IncompleteReset, {"reset-incomplete"}, "has played before"),
    (broken.StateInClass, {"shared-state"}, "alongside another copy"),
    (broken.DrawsGlobally, {"global-random", "seed-ignored"}, "np.random was drawn from"),
    (broken.SeedsGlobally, {"global-random", "shared-state"}, "np.random was drawn from"),
    (broken.SingleCopy, {"second-copy"}, "RuntimeError: the port is taken"),
    (broken.ScalesActionInPlace, {"action-changed"}, "at step 1"),
    (broken.ClipsEarly, {"action-clipped"}, "at the lower bounds and halfway to them"),
    (broken.IgnoresActions, {"action-ignored"}, "held at"),
    # Several faults: none hides another.
    (traits.SharedUnseeded, {"seed-ignored", "global-random", "shared-state"}, "alongside another copy"),
    (traits.SharedOwnEntropy, {"seed-ignored", "shared-state"}, "a copy continued from the other's state"),
    (broken.with_spaces(Discrete(4), Discrete(3)), {"observation-space", "action-space"}, "Discrete(3)"),
    (broken.RaisesAndShares, {"raises", "shared-state"}, "alongside another copy"),
    (broken.ArrayRewardAndTimeLimit, {"reward-unusable", "time-limit-terminates"}, "after exactly 60 steps"),
    (broken.NanAndClippedActions, {"observation-not-finite", "action-clipped"}, "halfway to them"),
    (broken.IncompleteResetAndIgnoredActions, {"reset-incomplete", "action-ignored"}, "held at"),
    (broken.FourValuesAndUnseeded, {"api", "seed-ignored"}, "seed 0 in two copies"),
    (broken.SingleUnseededCopy, {"second-copy", "seed-ignored"}, "the port is taken"),
]
"""Environment, codes of all expected findings, and part of the observed value of one of them."""

ELSEWHERE = {"ends-unchecked", "slow", "not-sendable", "process-differs"}
"""Findings with a separate test below."""

OTHERWISE = {broken.AlwaysEndsEarly: "warning", broken.ConstantReward: "info", broken.ObservesFloat64: "info"}
"""Severities that differ from the usual one of the kind."""


@pytest.fixture
def _one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Skip the comparison with a worker process, whose start takes longer than all other checks."""
    monkeypatch.setattr(checker, "check_other_process", lambda *_: None)
    yield
    broken.SingleCopy.taken = False


def codes(report: surefoot.CheckReport) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(("factory", "expected", "part"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_fault_gives_exactly_its_findings(factory: type, expected: set[str], part: str) -> None:
    report = check_env(factory, steps=EPISODES_STEPS if "time-limit-terminates" in expected else STEPS)
    assert codes(report) == expected
    observed = [finding.observed for finding in report.findings]
    assert any(part in text for text in observed), observed
    assert not any("\n" in text for text in observed)
    for finding in report.findings:
        assert finding.severity == OTHERWISE.get(factory, KINDS[finding.code].severity)
    assert report.ok == all(finding.severity != "error" for finding in report.findings)


def test_faults_cover_every_kind() -> None:
    assert set().union(*(expected for _, expected, _ in FAULTS)) | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize(
    "factory", [broken.Healthy, broken.OnlyTruncates, broken.EndsEarly, broken.ObservableTimeLimitTerminates]
)
def test_healthy_environment_has_no_finding(factory: type) -> None:
    report = check_env(factory, steps=STEPS)
    assert report.findings == ()
    assert report.ok
    measured = report.measurements
    assert measured.env_steps == STEPS
    assert sum(measured.episode_lengths) <= STEPS
    assert measured.terminated + measured.truncated == len(measured.episode_lengths) > 0
    assert measured.steps_per_second is not None
    assert measured.steps_per_second > 100
    assert measured.reward_min < measured.reward_mean < measured.reward_max


def test_process_dependence_and_unpicklable_factory_are_found() -> None:
    report = check_env(broken.DependsOnTheProcess, steps=STEPS)
    assert codes(report) == {"process-differs"}
    assert "in the first observation" in report.findings[0].observed
    assert codes(check_env(broken.HoldsALock().another, steps=STEPS)) == {"not-sendable"}


def test_other_findings_do_not_hide_an_unpicklable_factory() -> None:
    lock = threading.Lock()

    class Fails(broken.Raises):
        def start(self) -> np.ndarray:
            with lock:
                return super().start()

    assert codes(check_env(Fails, steps=STEPS)) == {"raises", "not-sendable"}


def test_check_leaves_the_global_generators_alone() -> None:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = random.random(), np.random.uniform()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    check_env(traits.SharedUnseeded, steps=50)
    assert (random.random(), np.random.uniform()) == expected  # noqa: NPY002


def test_shared_state_can_be_avoided_by_processes() -> None:
    (finding,) = (found for found in check_env(traits.SharedSimulator, steps=50).findings if found.severity == "error")
    assert "--env-workers 1 for one seed and one evaluation episode" in finding.remedy
    with make_vector(get_task(traits.SharedSimulator), [0, 1], "evaluate", num_workers=32) as vector:
        assert vector.num_workers == 2  # a process for each environment


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Box(-1.0, 1.0, (2,)), "Box(-1, 1, (2,), float32)"),
        (Box(np.float32([-1, -2]), np.float32([1, 3])), "Box([-1, -2], [1, 3], (2,), float32)"),
        (Box(0.0, np.float32([[1], [np.inf]])), "Box(0, [1, inf], (2, 1), float32)"),
        (Box(-1.0, np.arange(10.0, dtype=np.float32)), "Box(-1, [0, 1, 2, 3, 4, 5, 6, 7, ...], (10,), float32)"),
        (Dict(a=Box(-1.0, 1.0, (1,)), b=Box(0.0, np.float32([1, 2]))), None),
    ],
)
def test_uneven_bounds_are_listed(space: gymnasium.Space, expected: str | None) -> None:
    assert short(space) == (expected or "Dict(a: Box(-1, 1, (1,), float32), b: Box(0, [1, 2], (2,), float32))")


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("base", [broken.Healthy, broken.Raises, broken.IgnoresItsSeed, broken.RaisesAtTheBounds])
def test_copies_are_closed_between_checks(base: type) -> None:
    living: set[int] = set()
    most = []

    class Counted(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            living.add(id(self))
            most.append(len(living))

        def close(self) -> None:
            living.discard(id(self))

    check_env(Counted, steps=STEPS)
    assert not living
    assert max(most) == 3  # to measure memory


@pytest.mark.usefixtures("_one_process")
def test_short_rollout_reports_unchecked_ends() -> None:
    report = check_env("Pendulum-v1", steps=100)
    assert codes(report) == {"ends-unchecked"}
    assert (report.horizon, report.task, report.suite) == (200, "Pendulum-v1", "gymnasium")


@pytest.mark.usefixtures("_one_process")
def test_slow_environment_reports_hours_per_million_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_rollout, "_SLOW", 1e12)
    assert re.search(r"[\d.]+ hours for a million steps", check_env(broken.Healthy, steps=50).findings[0].observed)


@pytest.mark.usefixtures("_one_process")
def test_findings_are_sorted_by_severity() -> None:
    class Various(broken.ObservesFloat64, broken.TimeLimitTerminates, broken.SharesItsBuffer):
        def observe(self) -> np.ndarray:
            return np.concatenate([self.place])

        def reward(self) -> float:
            return 1e9

    severities = [finding.severity for finding in check_env(Various, steps=EPISODES_STEPS).findings]
    assert severities == ["error", "warning", "info", "info"] or severities == ["error", "warning", "warning", "info"]


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cheetah-run", set()),
        pytest.param("cartpole-swingup_sparse", {"reward-constant"}, marks=pytest.mark.slow),
        pytest.param("Hopper-v5", set(), marks=pytest.mark.slow),
        pytest.param("myo-reach-hard", set(), marks=pytest.mark.slow),
        ("probe-action", set()),
        ("probe-discount", {"action-ignored"}),
        ("probe-termination", {"action-ignored", "reward-constant"}),
        pytest.param("quadruped-run", {"action-bounds-asymmetric"}, marks=pytest.mark.slow),
    ],
)
def test_shipped_tasks_have_no_false_findings(name: str, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_rollout, "_SLOW", 0.0)  # the machine may be busy
    report = check_env(name, steps=120)
    assert codes(report) - {"ends-unchecked"} == expected
    assert report.ok


def test_environment_written_in_jax_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    task = dataclasses.replace(get_task("probe-constant"), jax=lambda: None)
    monkeypatch.setattr(checker, "get_task", lambda *_: task)
    with pytest.raises(UserError, match="is written in JAX, and the check is for Gymnasium's interface"):
        check_env("any")


@pytest.mark.parametrize(("option", "value"), [("steps", 0), ("seed", -1), ("seed", 2**31)])
def test_arguments_are_validated(option: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{option} must be .*got {value}"):
        surefoot.check_env("probe-action", **{option: value})


@pytest.mark.usefixtures("_one_process")
class TestCommand:
    def test_error_gives_exit_code_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check-env", "tests.tasks.broken:TerminatesAndTruncates", "--steps", "100"]) == 1
        out, err = capsys.readouterr()
        assert err == ""
        for part in (
            "tests.tasks.broken:TerminatesAndTruncates  (module)",
            "[both-flags]",
            "  observed  ",
            "  remedy  ",
            "1 error",
        ):
            assert part in out
        assert not any(line != line.rstrip() or len(line) > 80 for line in out.splitlines())

    def test_warning_gives_exit_code_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check-env", "tests.tasks.broken:SharesItsBuffer", "--steps", "100"]) == 0
        assert "1 warning: training works" in capsys.readouterr().out

    def test_json_has_every_finding(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check-env", "tests.tasks.broken:TerminatesAndTruncates", "--steps", "100", "--json"]) == 1
        data = json.loads(capsys.readouterr().out)
        assert (data["ok"], data["findings"][0]["code"], data["measurements"]["env_steps"]) == (
            False,
            "both-flags",
            100,
        )

    def test_environment_output_goes_to_stderr(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Prints(broken.Healthy):
            def start(self) -> np.ndarray:
                print("hello")
                return super().start()

        monkeypatch.setattr(zoo, "prints", Prints, raising=False)
        assert main(["check-env", "tests.tasks.zoo:prints", "--steps", "50", "--json"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["ok"]
        assert "hello" in err

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("tests.tasks.zoo:raising_when_made", "cannot be made: RuntimeError: no such robot"),
            ("tests.tasks.zoo:dies", "needs the argument 'env'"),
            ("cheeta-run", "did you mean 'cheetah-run'"),
        ],
    )
    def test_unusable_target_gives_exit_code_2(
        self, target: str, expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check-env", target]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert expected in err


def test_documentation_lists_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-environment.md").read_text()
    assert [code for code in KINDS if f"`{code}`" not in page] == []


def test_registered_id_that_ignores_seeds_is_found() -> None:
    gymnasium.register("IgnoresItsSeed-v0", broken.IgnoresItsSeed, max_episode_steps=10)
    try:
        report = check_env("tests.tasks.broken:IgnoresItsSeed-v0", steps=100)
    finally:
        del gymnasium.registry["IgnoresItsSeed-v0"]
    assert (codes(report), report.horizon) == ({"seed-ignored"}, 10)
