"""Diagnostics of a run: values, intervals, and independence of training from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Algorithm, BoundedReturnScaling, ReturnScaling
from surefoot.algorithms.statistics import ReturnMoments
from surefoot.diagnostics import diagnose_critic, discounted_returns, parameter_count
from surefoot.diagnostics.q_bias import SMALLEST_RETURN
from surefoot.tasks import VectorEnv, get_task
from surefoot.training import diagnosis
from surefoot.training.diagnosis import Diagnosis
from surefoot.training.evaluation import Evaluator
from surefoot.training.population import Population, PopulationState, get_population
from surefoot.types import EnvSpec, Transition
from tests.tasks import zoo
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small
from tests.training.test_resume import rows_without_clock

ALGORITHM = small(surefoot.crossq_wn(utd=2))
SETTINGS: dict[str, Any] = {"env_steps": 160, "evaluate_every": 160, "evaluation_episodes": 2, **TWO_SEEDS}
DISCOUNT = 0.9


def train(out: Path, task: Any = "probe-truncation", algorithm: Algorithm = ALGORITHM, **changes: Any) -> surefoot.Run:
    return surefoot.train(task, algorithm=algorithm, out=out, observer=Recording(), **(SETTINGS | changes))


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> surefoot.Run:
    out = tmp_path_factory.mktemp("diagnosis") / "run"
    return train(out, seed=3, diagnose_every=40, curvature=True)


def test_rows_at_the_interval_for_every_seed_are_complete(two_seeds: surefoot.Run) -> None:
    log = two_seeds.diagnostics()
    assert log["env_steps"].tolist() == [40, 40, 80, 80, 120, 120, 160, 160]
    assert log["seed"].tolist() == [3, 4] * 4
    assert log["grad_steps"].tolist() == [0, 0, 0, 0, 40, 40, 120, 120]
    for name, column in log.items():
        assert np.isfinite(column).all(), name


def test_columns_cover_every_layer(two_seeds: surefoot.Run) -> None:
    columns = two_seeds.diagnostics().keys()
    layers = {"torso/dense_0", "torso/dense_1"}
    assert {name.partition("/")[2] for name in columns if name.startswith("critic_weight_norm/")} == {*layers, "head"}
    actor = {name.partition("/")[2] for name in columns if name.startswith("actor_gradient_norm/")}
    assert actor == {*layers, "mean", "log_std"}


def test_sums_equal_the_layers(two_seeds: surefoot.Run) -> None:
    log = two_seeds.diagnostics()
    for name in ("critic", "actor"):
        layers = [column for column in log if column.startswith(f"{name}_weight_norm/")]
        np.testing.assert_allclose(log[f"{name}_weight_norm"], sum(log[column] for column in layers), rtol=1e-6)
    # 16 units of norm 1.
    np.testing.assert_allclose(log["critic_weight_norm/torso/dense_1"], 4.0, rtol=1e-5)


@pytest.mark.slow
def test_measurements_do_not_depend_on_other_seeds(two_seeds: surefoot.Run, tmp_path: Path) -> None:
    together, alone = (
        two_seeds.diagnostics(),
        train(tmp_path / "run", num_seeds=1, seed=4, diagnose_every=40).diagnostics(),
    )
    for name in ("critic_weight_norm", "actor_gradient_norm", "critic_dead_units", "q_bias_mean", "q_bias_std"):
        first_two = slice(0, 2)  # before the updates, whose rounding depends on the number of seeds
        np.testing.assert_allclose(together[name][1::2][first_two], alone[name][first_two], rtol=1e-4, err_msg=name)


@pytest.mark.slow
def test_curvature_is_measured_on_request(two_seeds: surefoot.Run, tmp_path: Path) -> None:
    log = train(tmp_path / "run", diagnose_every=80).diagnostics()
    assert np.isnan(log["critic_hessian_largest_eigenvalue"]).all()
    assert (two_seeds.diagnostics()["critic_hessian_condition_number"] >= 1.0).all()


@pytest.mark.parametrize("preset", ["crossq-wn", pytest.param("bro", marks=pytest.mark.slow)])
def test_diagnosis_does_not_change_the_run(preset: str, tmp_path: Path) -> None:
    """Also with dropout and a second policy, which draw random numbers."""
    algorithm = small(surefoot.crossq_wn(utd=2)) if preset == "crossq-wn" else small_bro()
    runs = [
        train(tmp_path / str(every), algorithm=algorithm, diagnose_every=every, evaluate_every=60) for every in (0, 20)
    ]
    for read in (surefoot.Run.evaluations, surefoot.Run.training):
        one, other = (rows_without_clock(read(run)) for run in runs)
        assert str(one) == str(other)
    policies = [(run.path / "policy" / "policy.npz").read_bytes() for run in runs]
    assert policies[0] == policies[1]
    assert len(runs[0].diagnostics()["seed"]) == 0
    assert len(runs[1].diagnostics()["seed"]) == 16


def small_bro() -> Algorithm:
    from surefoot.networks import BroNet

    return surefoot.bro(utd=2).replace(
        critic=BroNet(16, 1), actor=BroNet(16, 1), batch_size=16, warmup_transitions=100, resets=None
    )


# ---------------------------------------------------------------- Q bias, against values computed by hand


class Prepared(NamedTuple):
    """A population with a filled buffer, and a diagnosis of it."""

    diagnosis: Diagnosis
    population: Population
    state: PopulationState
    vector: VectorEnv


@contextlib.contextmanager
def prepared(task: Any, algorithm: Algorithm, seeds: int = 1) -> Iterator[Prepared]:
    with Evaluator(get_task(task), range(seeds), episodes=2, num_workers=0) as evaluator:
        vector, rng = evaluator.vector, np.random.default_rng(0)
        spec = EnvSpec(vector.observation_size, vector.action_size)
        population = get_population(algorithm, spec, algorithm.discount or DISCOUNT, "float32")

        def observations() -> np.ndarray:
            return rng.normal(size=(seeds, spec.observation_size)).astype(np.float32)

        state, no = population.init(range(seeds), 150, 171, observations()), np.zeros(seeds, bool)
        for _ in range(20):
            action = rng.uniform(-1, 1, (seeds, spec.action_size)).astype(np.float32)
            reward, observation = rng.normal(size=seeds).astype(np.float32), observations()
            transition = Transition(action, reward, observation, no, observation, no)
            state, _ = population.train_step(state, transition, num_updates=0, uniform=True)
        yield Prepared(Diagnosis(population, range(seeds), vector, curvature=False), population, state, vector)


def measured_and_by_hand(task: Any, tail: bool, algorithm: Algorithm) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Row of a deterministic policy on zoo.Counter, and Q and returns of its trajectories computed by hand."""
    with prepared(task, algorithm) as made:
        vector = made.vector
        (row,) = made.diagnosis.rows(made.state, {})
        state = jax.tree.map(lambda leaf: leaf[0], made.state.learner)
        functions = made.population.learner

        def value(observation: np.ndarray) -> np.ndarray:
            action = functions.act_deterministic(state, observation)
            q = functions.critic.evaluate(state.critic, functions.statistics.normalize(state, observation), action)
            return np.asarray(functions.algorithm.critic_loss.value(q)).mean(axis=0)

        values, returns = [], []
        scale = reward_scale_by_hand(algorithm, state.returns)
        for first in range(0, diagnosis.TRAJECTORIES, vector.num_envs):
            start = vector.reset([1_000_000 + first + slot for slot in range(vector.num_envs)])
            for slot in range(min(vector.num_envs, diagnosis.TRAJECTORIES - first)):
                observations = [np.array([[step, start[slot, 1]]], np.float32) for step in range(4)]
                q = [float(value(observation)[0]) for observation in observations]
                g3 = 3.0 * scale + DISCOUNT * (q[3] if tail else 0.0)
                g2 = 2.0 * scale + DISCOUNT * g3
                values += q[:3]
                returns += [1.0 * scale + DISCOUNT * g2, g2, g3]
    return row, np.array(values), np.array(returns)


def reward_scale_by_hand(algorithm: Algorithm, returns: ReturnMoments | None) -> float:
    if returns is None:
        return 1.0
    variance, scaling = float(returns.moments.variance), algorithm.reward_scaling
    if isinstance(scaling, BoundedReturnScaling):
        assert returns.largest is not None
        return 1.0 / max(np.sqrt(variance + scaling.epsilon), float(returns.largest) / scaling.bound)
    return 1.0 / (np.sqrt(variance) + 1e-8)


@pytest.mark.parametrize(("task", "tail"), [(zoo.terminating, False), (zoo.truncating, True)])
def test_q_bias_equals_values_computed_by_hand(task: Any, tail: bool) -> None:
    """Rewards are 1, 2, 3; the value after a time limit is the critics', after a terminal state 0."""
    algorithm = small(surefoot.td3_wn(utd=1), discount=DISCOUNT)
    row, values, returns = measured_and_by_hand(task, tail, algorithm)
    bias = values - returns
    assert len(bias) == 15
    assert row["q_bias_mean"] == pytest.approx(bias.mean() / abs(returns.mean()), rel=1e-4)
    assert row["q_bias_std"] == pytest.approx(bias.std() / abs(returns.mean()), rel=1e-3)
    per_state = bias / np.maximum(np.abs(returns), 10.0)
    assert row["q_bias_mean_per_state"] == pytest.approx(per_state.mean(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [ReturnScaling(epsilon=1e-8), BoundedReturnScaling(bound=0.1)])
def test_q_bias_with_scaled_rewards_is_in_the_units_of_the_task(
    scaling: ReturnScaling | BoundedReturnScaling,
) -> None:
    algorithm = small(surefoot.td3_wn(utd=1), discount=DISCOUNT, reward_scaling=scaling)
    row, values, returns = measured_and_by_hand(zoo.terminating, False, algorithm)
    assert row["q_bias_mean"] == pytest.approx((values - returns).mean() / abs(returns.mean()), rel=1e-4)
    # All rewards have the same scale at a diagnosis, which the returns of unscaled critics show.
    _, _, unscaled = measured_and_by_hand(zoo.terminating, False, algorithm.replace(reward_scaling=None))
    scale = returns / unscaled
    np.testing.assert_allclose(scale, scale[0], rtol=1e-4)
    expected = (values - returns) / scale / np.maximum(np.abs(unscaled), SMALLEST_RETURN)
    assert row["q_bias_mean_per_state"] == pytest.approx(expected.mean(), rel=1e-4)


def test_returns_include_the_entropy_bonus() -> None:
    with prepared(zoo.terminating, small(surefoot.sac())) as made:
        diagnosed = made.diagnosis
        _, keys = made.population.diagnosis_batch(made.state)
        wave = diagnosed._run_wave(made.state.learner, keys, 0)
        assert wave.steps.tolist() == [3] * made.vector.num_envs
        soft, plain = diagnosed._returns(wave, 0, 0.5, 1.0), diagnosed._returns(wave, 0, 0.0, 1.0)
    np.testing.assert_allclose(plain, discounted_returns(np.array([1.0, 2.0, 3.0]), np.zeros(3), DISCOUNT, 0.0, 0.0))
    bonus = -0.5 * DISCOUNT * (wave.log_prob[1, 0] + DISCOUNT * wave.log_prob[2, 0])
    np.testing.assert_allclose(soft[0] - plain[0], bonus, rtol=1e-6)


def test_long_trajectory_is_cut_and_bootstrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MAX_AGENT_STEPS", 2)
    with prepared(zoo.terminating, small(surefoot.td3_wn(utd=1), discount=0.5)) as made:
        diagnosed = made.diagnosis
        wave = diagnosed._run_wave(made.state.learner, made.population.diagnosis_batch(made.state)[1], 0)
        assert wave.steps.tolist() == [2] * made.vector.num_envs
        assert not wave.terminated.any()
        np.testing.assert_allclose(diagnosed._returns(wave, 0, 0.0, 1.0)[1], 2.0 + 0.5 * wave.q[2, 0], rtol=1e-6)


def test_networks_are_measured_on_the_diagnosis_batch() -> None:
    with prepared("probe-action", ALGORITHM, seeds=2) as made:
        row, _ = made.diagnosis.rows(made.state, {})
        batch, keys = made.population.diagnosis_batch(made.state)
        state, batch, key = jax.tree.map(lambda leaf: leaf[0], (made.state.learner, batch, keys))
        diagnose = jax.jit(lambda *given: diagnose_critic(made.population.learner, *given))
        critic = diagnose(state, batch, jax.random.split(key, 3)[0])
        assert row["parameters"] == parameter_count(state)
    assert row["critic_effective_learning_rate"] == pytest.approx(float(critic.effective_learning_rate_mean), rel=1e-4)
    assert row["critic_gradient_norm/head"] == pytest.approx(float(critic.gradient_norm["head"]), rel=1e-4)
    assert row["critic_feature_norm"] == pytest.approx(float(critic.feature_norm), rel=1e-4)


def test_diverged_seed_does_not_affect_other_seeds() -> None:
    with prepared("probe-action", ALGORITHM, seeds=2) as made:
        poison = made.state.learner.actor.params["mean"]["bias"].at[1].set(np.nan)
        made.state.learner.actor.params["mean"]["bias"] = poison
        rows = made.diagnosis.rows(made.state, {})
    assert np.isfinite(rows[0]["q_bias_mean"])
    assert np.isnan(rows[1]["q_bias_mean"])
