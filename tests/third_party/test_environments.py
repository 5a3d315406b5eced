"""Environments of other packages from the check to a policy on the bare environment, as a user installs them."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import installed

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

PACKAGES = [
    "gymnasium[box2d]",
    "gymnasium-robotics==1.4.2",
    "gym-pusht==0.1.8",
    "highway-env==1.12.1",
    "metaworld==3.1.1",
    "mo-gymnasium==1.3.2",
]

SHORT = {"max_episode_steps": 50}

ENVIRONMENTS: list[tuple[str, dict[str, Any]]] = [
    ("gymnasium_robotics:FetchReach-v4", {}),
    ("gymnasium_robotics:AdroitHandDoor-v1", SHORT),
    ("gymnasium_robotics:PointMaze_UMaze-v3", SHORT),
    ("highway_env:parking-v0", SHORT | {"max_episode_steps": 30}),
    ("metaworld:Meta-World/MT1", SHORT | {"env_name": "reach-v3", "seed": 1}),
    ("gym_pusht:gym_pusht/PushT-v0", SHORT),
    ("objectives:make_cheetah", SHORT),
    ("LunarLander-v3", SHORT | {"continuous": True}),
    ("BipedalWalker-v3", SHORT),
    ("CarRacing-v3", SHORT | {"max_episode_steps": 30}),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """The failure of each environment, or None; two processes share the environments."""
    folder = tmp_path_factory.mktemp("third_party")
    wheel = installed.build_wheel(folder)
    requirements = [f"surefoot[video] @ {wheel.as_uri()}", *PACKAGES]
    program = installed.install(folder / "venv", "3.12", requirements)

    def live(half: int) -> str:
        own = folder / str(half)
        own.mkdir()
        (own / "objectives.py").write_text((HERE / "objectives.py").read_text())
        environment = installed.clean_environment() | {"PYTHONPATH": str(own), "MUJOCO_GL": "osmesa"}
        command = [program, str(HERE / "lifecycle.py"), json.dumps(ENVIRONMENTS[half::2])]
        return subprocess.run(
            command, cwd=own, env=environment, stdout=subprocess.PIPE, text=True, timeout=1_200, check=True
        ).stdout

    with ThreadPoolExecutor(2) as pool:
        lines = "".join(pool.map(live, (0, 1))).splitlines()
    results = [json.loads(line) for line in lines if line.startswith('{"name"')]
    return {result["name"]: result["failure"] for result in results}


@pytest.mark.parametrize("name", [name for name, _ in ENVIRONMENTS])
def test_environment_is_trained_filmed_and_played_with_equal_returns(
    outcomes: dict[str, str | None], name: str
) -> None:
    assert outcomes[name] is None, outcomes[name]
