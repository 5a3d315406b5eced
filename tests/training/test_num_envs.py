"""Several environments per seed: counts, fractions of the UTD, episodes, statistics, resume and failures."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Algorithm, HeldNoise, ObservationNorm, ResetEvery, ReturnScaling
from surefoot.errors import RunFailure, UserError
from surefoot.runs import RunDirectory
from surefoot.tasks import get_task, make_vector
from surefoot.training.config import TrainConfig
from surefoot.training.memory import replay_bytes
from surefoot.training.plan import check_update_ratio, make_plan
from surefoot.training.warm_start.transitions import Experience
from surefoot.types import EnvSpec
from tests import traits
from tests.training.recording import Recording
from tests.training.small import small_mlp
from tests.training.test_resume import assert_same_run

SEEDS, ENVS = 2, 3
ENV_STEPS, CHECKPOINT, WARMUP = 360, 200, 60


def algorithm(utd: Any = "2/3", **changes: Any) -> Algorithm:
    """SAC with every part that has a state per environment, and so short that an update costs nothing."""
    parts = {
        "actor": small_mlp(),
        "critic": small_mlp(),
        "batch_size": 16,
        "warmup_transitions": WARMUP - 1,
        "observation_norm": ObservationNorm(),
        "reward_scaling": ReturnScaling(),
        "held_noise": HeldNoise(exponent=0.0, max_decisions=16),
    }
    return surefoot.sac(utd).replace(**(parts | changes))


def train(out: Path, task: Any = "probe-truncation", **changes: Any) -> surefoot.Run:
    settings: dict[str, Any] = {
        "algorithm": algorithm(),
        "num_seeds": SEEDS,
        "num_envs": ENVS,
        "env_steps": ENV_STEPS,
        "checkpoint_every": CHECKPOINT,
        "evaluate_every": 150,
        "log_every": 30,
        "diagnose_every": 150,
        "evaluation_episodes": 1,
        "env_workers": 0,
        "observer": Recording(),
        "skip_check": True,
    }
    return surefoot.train(task, out=out, **(settings | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> surefoot.Run:
    return train(tmp_path_factory.mktemp("envs") / "run")


def test_steps_count_all_environments_and_utd_is_per_transition(run: surefoot.Run) -> None:
    rows = run.training()
    learnt = np.maximum(rows["agent_steps"] - WARMUP, 0)
    np.testing.assert_array_equal(rows["grad_steps"], learnt * 2 // 3)
    np.testing.assert_array_equal(rows["env_steps"], rows["agent_steps"])
    assert rows["env_steps"].max() == ENV_STEPS
    # Episodes take ten steps, so each of the environments has finished one for every ten of its own.
    assert [rows["episodes"][rows["seed"] == seed].sum() for seed in (0, 1)] == [ENV_STEPS // 10] * 2
    assert set(rows["episode_return"][rows["episodes"] > 0]) == {10.0}
    evaluated = run.evaluations()
    assert set(evaluated["utd"]) == {2 / 3}
    assert RunDirectory.open(run.path).config["algorithm"]["utd"] == "2/3"


@pytest.mark.slow
def test_one_seed_with_overlap_resets_and_initial_transitions(tmp_path: Path) -> None:
    data, rng = tmp_path / "data.npz", np.random.default_rng(0)
    observation = rng.normal(size=(21, 2)).astype(np.float32)
    ends = np.arange(20) == 19
    np.savez(
        data,
        observations=observation[:-1],
        next_observations=observation[1:],
        actions=rng.uniform(-1.0, 1.0, (20, 1)).astype(np.float32),
        rewards=np.ones(20, np.float32),
        terminated=ends,
        truncated=np.zeros(20, bool),
    )
    learns = algorithm(1, observation_norm=None, reward_scaling=None, resets=ResetEvery(env_steps=45))
    settings = {"algorithm": learns, "num_seeds": 1, "num_envs": 4, "env_steps": 120, "checkpoint_every": 60}
    run = train(tmp_path / "run", overlap=True, prefill=data, **settings)
    stored = RunDirectory.open(run.path).checkpoints.load().arrays
    assert stored["replay_counters"]["num_transitions"].tolist() == [5 + 30] * 4
    assert run.training()["grad_steps"].max() == 120 - 40  # the warm-up of 59 less 20, in whole vector steps
    # The reset after 90 steps is due within the vector step from 88 to 92, and made before the next one.
    counts = stored["learner"][".critic.opt_state[0].count"]
    assert counts.tolist() == [120 - 92]
    shutil.rmtree(run.path / "checkpoints" / f"env_steps_{120:012d}")
    assert surefoot.resume(run.path, observer=Recording()).completed
    again = RunDirectory.open(run.path).checkpoints.load()
    assert again.env_steps == 120
    for name, array in stored["learner"].items():
        np.testing.assert_array_equal(again.arrays["learner"][name], array, err_msg=name)


def test_state_exists_once_for_every_environment(run: surefoot.Run) -> None:
    stored = RunDirectory.open(run.path).checkpoints.load().arrays
    assert stored["replay_counters"]["num_transitions"].tolist() == [ENV_STEPS // ENVS] * SEEDS * ENVS
    assert len(np.unique(stored["loop"]["observation"], axis=0)) == SEEDS * ENVS
    noise, returns = (stored["learner"][name] for name in (".held_noise.noise", ".returns.running_return"))
    assert noise.shape[:2] == returns.shape == (SEEDS, ENVS)
    assert len(np.unique(noise)) == SEEDS * ENVS
    # An observation to act on for every step, and the first ones.
    assert stored["learner"][".observations.weight"] == pytest.approx(ENV_STEPS + ENVS)


def test_resumed_run_equals_an_uninterrupted_one(run: surefoot.Run, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(run.path, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{ENV_STEPS:012d}")
    assert RunDirectory.open(cut).checkpoints.load().env_steps == 201  # the first vector step beyond 200
    assert surefoot.resume(cut, observer=Recording(), env_workers=2).completed
    assert_same_run(run.path, cut)


class Seeds(traits.Reach):
    """Notes the seeds of its episodes."""

    drawn: ClassVar[list[list[int]]] = []

    def __init__(self) -> None:
        self.drawn.append([])
        self.own = self.drawn[-1]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        assert seed is not None
        self.own.append(seed)
        return super().reset(seed=seed)


def drawn_seeds(num_envs: int) -> list[list[int]]:
    """Return the seeds of four episodes of every environment."""
    Seeds.drawn.clear()
    task = get_task(Seeds)
    plan = make_plan(TrainConfig(Seeds, algorithm(1), num_seeds=SEEDS, num_envs=num_envs, env_steps=1000), task)
    with make_vector(task, plan.slot_seeds, "train", environments=plan.environments) as vector:
        vector.reset([0] * SEEDS * num_envs)
        for _ in range(3 * Seeds.limit):
            vector.step(np.zeros((SEEDS * num_envs, 1), np.float32))
    return Seeds.drawn.copy()


def test_environments_of_a_seed_play_different_episodes_and_the_first_those_of_a_single_one() -> None:
    several, one = drawn_seeds(2), drawn_seeds(1)
    assert [len(own) for own in several] == [4] * 4
    assert len(set(itertools.chain(*several))) == 16
    assert several[::2] == one


class FailsLate(traits.Reach):
    """The second copy returns NaN in its fifth step."""

    made = 0

    def __init__(self) -> None:
        FailsLate.made += 1
        self.fails, self.taken = FailsLate.made == 2, 0

    def observe(self) -> Any:
        self.taken += 1
        return super().observe() * (np.nan if self.fails and self.taken > 5 else 1.0)


def test_failure_names_seed_and_environment(tmp_path: Path) -> None:
    FailsLate.made = 0
    with pytest.raises(RunFailure, match=r"FailsLate, seed 0, environment 1, env step 12: .*non-finite observation"):
        train(tmp_path / "run", FailsLate)


# -------------------------------------------------------------------- UTD


@pytest.mark.parametrize(
    ("utd", "num_envs", "expected"),
    [
        (2, 1, [2] * 4),
        ("1/2", 1, [0, 1, 0, 1]),
        ("1/4", 8, [2] * 4),
        ("1/24", 8, [0, 0, 1, 0]),
        ("2/1024", 1024, [2] * 4),
    ],
)
def test_updates_of_vector_steps(utd: Any, num_envs: int, expected: list[int]) -> None:
    config = TrainConfig("probe-action", algorithm(utd), num_envs=num_envs, env_steps=100_000)
    plan = make_plan(config, get_task("probe-action"))
    done = [plan.grad_steps(config.algorithm.utd, plan.warmup_steps + i * num_envs) for i in range(5)]
    assert np.diff(done).tolist() == expected
    assert plan.warmup_steps % num_envs == plan.agent_steps % num_envs == 0
    assert 0 <= plan.warmup_steps - config.algorithm.warmup_transitions < num_envs


@pytest.mark.parametrize(
    ("utd", "num_envs", "expected"),
    [
        (Fraction(3, 2), 1, "utd 3/2 with one environment per seed makes 3/2 .* the nearest are utd 1 and 2"),
        (Fraction(3, 10), 8, "makes 12/5 updates per vector step, .* the nearest are utd 1/4 and 3/8"),
        (Fraction(2, 3), 1, "the nearest are utd 1/2 and 1"),
        (Fraction(1, 1000), 300, "the nearest are utd 1/1200 and 1/900"),
    ],
)
def test_ratio_without_whole_updates_names_the_nearest(utd: Fraction, num_envs: int, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_update_ratio(utd, num_envs)
    for near in expected.rpartition("utd ")[2].split(" and "):
        check_update_ratio(Fraction(near), num_envs)


def test_ratio_is_rejected_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the nearest are utd 1/3 and 2/3"):
        train(tmp_path / "run", algorithm=algorithm("1/2"))
    assert list(tmp_path.iterdir()) == []


def test_default_updates_of_an_agent_need_a_whole_utd() -> None:
    box = traits.Reach()
    agent = surefoot.Agent(box.observation_space, box.action_space, algorithm("1/2"), replay_capacity=100)
    with pytest.raises(UserError, match="n is required where the algorithm's utd is a fraction, got utd 1/2"):
        agent.update()


# -------------------------------------------------------------------- replay buffers


def test_memory_is_that_of_all_rings() -> None:
    task = get_task("cheetah-run")
    config = TrainConfig("cheetah-run", surefoot.flashsac("2/1024"), num_envs=1024, env_steps=5_000_000, num_seeds=2)
    plan, spec = make_plan(config, task), EnvSpec(17, 6)
    assert (plan.ring_capacity, len(plan.slot_seeds)) == (977, 2048)
    one = make_plan(TrainConfig("cheetah-run", surefoot.flashsac(), env_steps=5_000_000, num_seeds=2), task)
    assert replay_bytes(plan, task, spec) == pytest.approx(replay_bytes(one, task, spec), rel=0.01)


def recorded(lengths: list[int]) -> Experience:
    """Return episodes of these lengths whose frames are numbered."""
    starts = np.cumsum([0, *(length + 1 for length in lengths)])
    frame_of = np.concatenate([start + np.arange(length) for start, length in zip(starts, lengths, strict=False)])
    numbers = np.arange(starts[-1], dtype=np.float32)[:, None]
    return Experience(
        actions=frame_of[None, :, None].astype(np.float32),
        rewards=frame_of[None].astype(np.float32),
        terminated=np.zeros((1, len(frame_of)), bool),
        frame_of=frame_of[None].astype(np.int32),
        frames=(numbers,),
    )


def transitions(experience: Experience) -> Iterator[tuple[float, float, float]]:
    for buffer, frames in enumerate(experience.frames):
        for number, reward in zip(experience.frame_of[buffer], experience.rewards[buffer], strict=True):
            yield float(reward), float(frames[number, 0]), float(frames[number + 1, 0])


def test_initial_transitions_are_dealt_out_to_the_environments_in_order() -> None:
    whole = recorded([4, 1, 6, 3])
    dealt = whole.dealt(1, 4)
    assert dealt.rewards.shape == (4, 3)
    assert list(transitions(dealt)) == list(transitions(whole))[2:]
    assert [len(frames) for frames in dealt.frames] == [5, 4, 4, 4]
    assert list(transitions(dealt.dealt(1, 2))) == list(transitions(dealt))
    with pytest.raises(UserError, match="14 initial transitions cannot be dealt out to 15 environments"):
        whole.dealt(1, 15)


@pytest.mark.slow
def test_run_starts_with_the_networks_and_transitions_of_one_with_fewer_environments(
    run: surefoot.Run, tmp_path: Path
) -> None:
    started = train(tmp_path / "run", num_envs=4, algorithm=algorithm(1), init_from=run.path, init_replay=True)
    stored = RunDirectory.open(started.path).checkpoints.load().arrays
    before = ENV_STEPS // 4
    assert set(stored["replay_counters"]["num_transitions"].tolist()) == {before + ENV_STEPS // 4}
