"""Keys of a Dict observation that actor and critics receive."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

import surefoot
from surefoot.algorithms import Algorithm, Learner, ObservationNorm, OptimisticActor
from surefoot.errors import UserError
from surefoot.runs import RunDirectory
from surefoot.types import Batch, EnvSpec
from surefoot.video.policies import checkpoint_policies
from tests.training.recording import Recording
from tests.training.small import small_mlp
from tests.training.test_resume import assert_same_run

ACTOR, CRITIC = ("state",), ("state", "privileged_state")
ENV_STEPS, CHECKPOINT = 200, 120


class HiddenGoal(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """A point moves towards a goal that only `privileged_state` shows; `clock` is for nobody."""

    observation_space = Dict(
        {"clock": Box(0.0, 9.0, (1,)), "privileged_state": Box(-9.0, 9.0, (2,)), "state": Box(-9.0, 9.0, (3,))}
    )
    action_space = Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.x, self.goal = 0, *self.np_random.uniform(-1.0, 1.0, 2)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.t, self.x = self.t + 1, self.x + 0.2 * float(action[0])
        return self.observe(), -abs(self.x - self.goal), False, self.t >= 8, {}

    def observe(self) -> dict[str, np.ndarray]:
        state = np.array([self.x, self.x**2, -self.x], np.float32)
        seen = {"clock": np.array([self.t], np.float32), "state": state}
        return {**seen, "privileged_state": np.array([self.goal, self.x - self.goal], np.float32)}


def algorithm() -> Algorithm:
    return surefoot.sac().replace(
        actor=small_mlp(), critic=small_mlp(), batch_size=16, warmup_transitions=50, observation_norm=ObservationNorm()
    )


def train(out: Path, **changes: Any) -> surefoot.Run:
    settings: dict[str, Any] = {
        "algorithm": algorithm(),
        "actor_keys": ACTOR,
        "critic_keys": CRITIC,
        "env_steps": ENV_STEPS,
        "checkpoint_every": CHECKPOINT,
        "evaluation_episodes": 2,
        "num_seeds": 2,
        "env_workers": 0,
        "observer": Recording(),
        "skip_check": True,
    }
    return surefoot.train(HiddenGoal, out=out, **(settings | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> surefoot.Run:
    return train(tmp_path_factory.mktemp("keys") / "run")


@pytest.mark.parametrize("optimism", [None, OptimisticActor(torso=small_mlp(8))])
def test_networks_do_not_depend_on_other_entries(optimism: OptimisticActor | None) -> None:
    spec = EnvSpec(4, 1, actor_columns=(0, 1), critic_columns=(0, 2))
    learner = Learner(surefoot.sac().replace(actor=small_mlp(), critic=small_mlp(), optimism=optimism), spec, 0.9)
    state, key = learner.init(jax.random.key(0)), jax.random.key(1)
    rows = jnp.concatenate([jnp.zeros((1, 4)), jnp.eye(4)])
    observation, reward = jnp.ones((8, 4)), jnp.ones(8)
    batch = Batch(observation, jnp.ones((8, 1)), reward, observation, jnp.zeros(8))

    def loss(row: jax.Array) -> jax.Array:
        observation = jnp.broadcast_to(row, (8, 4))
        return learner.critic_loss(state.critic.params, state, batch._replace(observation=observation), key)[0]

    acted = np.asarray(jax.jit(lambda rows: jax.lax.map(lambda row: learner.act(state, row, key), rows))(rows))
    lost = np.asarray(jax.jit(lambda rows: jax.lax.map(loss, rows))(rows))
    assert np.any(acted[1:] != acted[0], axis=1).tolist() == [True, True, False, False]
    assert (lost[1:] != lost[0]).tolist() == [True, False, True, False]
    jax.eval_shape(learner.update, state, batch, key, jnp.bool_(True))


def test_policy_needs_only_the_keys_of_the_actor(run: surefoot.Run, tmp_path: Path) -> None:
    policy, env = run.policy(seed=0), HiddenGoal()
    obs, _ = env.reset(seed=3)
    assert (policy.observation_keys, policy.observation_size) == (ACTOR, 3)
    np.testing.assert_array_equal(policy({"state": obs["state"]}), policy(obs))
    np.testing.assert_array_equal(policy(obs["state"]), policy(obs))
    *_, recorded = checkpoint_policies(RunDirectory.open(run.path), [0])
    np.testing.assert_array_equal(recorded(obs), policy(obs))
    export = surefoot.export_policy(run.path, seed=0, out=tmp_path / "policy.onnx")
    assert export.max_difference < 1e-5


def test_evaluation_gives_the_policy_its_entries(run: surefoot.Run) -> None:
    _, result = surefoot.evaluate(run.path, episodes=2, task=HiddenGoal, env_workers=0)
    rows = run.evaluations()
    last = rows["return"][rows["env_steps"] == ENV_STEPS].reshape(2, 2)
    np.testing.assert_allclose(result.returns, last, atol=1e-3)


def test_resumed_run_equals_an_uninterrupted_one(run: surefoot.Run, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(run.path, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{ENV_STEPS:012d}")
    assert RunDirectory.open(cut).config["actor_keys"] == list(ACTOR)
    assert surefoot.resume(cut, task=HiddenGoal, observer=Recording()).completed
    assert_same_run(run.path, cut)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"actor_keys": ["stat"]},
            "actor_keys has the key 'stat', which the observation does not have; .* 'state'",
        ),
        (
            {"critic_keys": "state,goal"},
            "critic_keys has the key 'goal', .* some of clock, privileged_state, state",
        ),
        ({"actor_keys": []}, r"actor_keys must be one or more keys, got \[\]"),
        ({"actor_keys": ["state", 3]}, "actor_keys must be one or more keys"),
    ],
)
def test_invalid_keys_are_rejected_before_anything_is_written(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        train(tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []


def test_observation_without_keys_has_none_to_choose(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"actor_keys needs an observation with keys .*, and it is one array"):
        surefoot.train("probe-action", actor_keys=["state"], algorithm=algorithm(), env_steps=100, out=tmp_path / "run")


def test_warm_start_needs_the_same_keys(run: surefoot.Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"was trained with actor_keys state, and this run has all"):
        train(tmp_path / "run", init_from=run.path, actor_keys=None)
