"""What each extra is for, done briefly: `python used.py EXTRA` in a folder with a run, `run`, of `square:Square`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import surefoot
from surefoot.cli.main import main


def act(name: str) -> None:
    env = surefoot.get_task(name).make()
    env.reset(seed=0)
    env.step(np.zeros(env.spaces.action.size, np.float32))
    env.close()


def use_dmc() -> None:
    if sys.version_info >= (3, 13):
        code: Any = main(["train", "cheetah-run", "--out", "new"])
        assert code == 2, code
    else:
        act("cheetah-run")


def use_mujoco() -> None:
    for name in ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "Walker2d-v5"):
        act(name)


def use_myosuite() -> None:
    act("myo-key-turn")


def use_envpool() -> None:
    act("envpool/CheetahRun-v1")


def use_playground() -> None:
    act("playground/CartpoleBalance")


def use_minari() -> None:
    os.environ["MINARI_DATASETS_PATH"] = os.getcwd()
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    from surefoot.training.warm_start.dataset_files import read_dataset

    episode = EpisodeBuffer(
        observations=np.zeros((3, 2), np.float32),
        actions=np.ones((2, 1), np.float32),
        rewards=[1.0, 2.0],
        terminations=[False, False],
        truncations=[False, True],
    )
    minari.create_dataset_from_buffers(
        "test/two-steps-v0",
        buffer=[episode],
        observation_space=gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        action_space=gymnasium.spaces.Box(-1, 1, (1,), np.float32),
    )
    assert read_dataset("test/two-steps-v0") is not None


def use_ray() -> None:
    from surefoot.benchmark import ray_launcher

    ray = ray_launcher.ray
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    ray.shutdown()


def command(*arguments: str) -> Callable[[], None]:
    def use() -> None:
        code: Any = main(list(arguments))
        assert code == 0, code

    return use


USES: dict[str, Callable[[], None]] = {
    "dmc": use_dmc,
    "envpool": use_envpool,
    "export": command("export", "run", "--out", "policy.onnx"),
    "minari": use_minari,
    "mujoco": use_mujoco,
    "myosuite": use_myosuite,
    "playground": use_playground,
    "ray": use_ray,
    "report": command("report", "run", "--out", "page"),
    "tensorboard": command("sync", "run", "--to", "tensorboard"),
    "video": command("record", "run", "--out", "film.mp4", "--task", "square:Square"),
    "wandb": command("sync", "run", "--to", "wandb"),
}

if __name__ == "__main__":
    USES[sys.argv[1]]()
