"""Stand-ins for gymnax and MuJoCo Playground, with a pendulum; tests/third_party has the tests of the packages."""

from __future__ import annotations

import dataclasses
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from tests.simulators.pendulum import Pendulum


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the environment."""

    max_steps_in_episode: int = 5
    torque: float = 2.0

    def replace(self, **changes: Any) -> Params:
        return dataclasses.replace(self, **changes)


class GymnaxPendulum:
    """Gymnax's interface; its ``done`` is the time limit, or a fast pendulum."""

    def action_space(self, params: Params) -> Any:
        return SimpleNamespace(low=-params.torque, high=params.torque, shape=(1,))

    def reset_env(self, key: jax.Array, params: Params) -> tuple[jax.Array, Any]:
        first = Pendulum().reset(key)
        return first.obs, (first, jnp.int32(0))

    def step_env(self, key: jax.Array, state: Any, action: jax.Array, params: Params) -> Any:
        pendulum, steps = state
        after = Pendulum().step(pendulum, action / 2.0)
        done = (steps + 1 >= params.max_steps_in_episode) | (jnp.abs(after.speed) > 6.0)
        return after.obs, (after, steps + 1), after.reward, done, {}


class Discrete(GymnaxPendulum):
    def action_space(self, params: Params) -> Any:
        return SimpleNamespace(n=3, shape=())


def gymnax() -> ModuleType:
    made = {"Pendulum-v1": GymnaxPendulum, "CartPole-v1": Discrete}
    module = ModuleType("gymnax")
    vars(module).update(registered_envs=list(made), make=lambda env_id: (made[env_id](), Params()))
    return module


class Config(dict[str, Any]):
    """Stands in for ml_collections.ConfigDict."""

    def to_dict(self) -> dict[str, Any]:
        return dict(self)


def playground(loaded: list[dict[str, Any]]) -> ModuleType:
    """Return the package, which appends the settings with which environments are made to ``loaded``."""
    defaults = {"episode_length": 7, "action_repeat": 1, "impl": "warp", "scales": {"speed": 0.1, "angle": 1.0}}

    def load(env_id: str, config_overrides: dict[str, Any]) -> Pendulum:
        if env_id == "Offline":
            raise OSError("no\nnetwork")
        loaded.append(config_overrides)
        env: Any = Pendulum()
        env._config = Config(defaults)
        return env

    registry = SimpleNamespace(
        ALL_ENVS=("PendulumSwingup", "Offline"), get_default_config=lambda env_id: Config(defaults), load=load
    )
    module = ModuleType("mujoco_playground")
    vars(module)["registry"] = registry
    return module
