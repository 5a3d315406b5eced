"""Hints about ids that other packages register."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import gymnasium
import pytest

from surefoot.errors import UserError
from surefoot.tasks import get_task, list_tasks, third_party
from surefoot.tasks.third_party import PACKAGES, find_package

IDS = {
    "gymnasium_robotics": [
        "FetchReach-v4",
        "FetchPickAndPlaceDense-v4",
        "HandManipulateBlockRotateZ-v1",
        "HandManipulateEgg_BooleanTouchSensors-v1",
        "AdroitHandPenSparse-v1",
        "PointMaze_UMaze-v3",
        "FrankaKitchen-v1",
    ],
    "panda_gym": ["PandaReach-v3", "PandaPickAndPlaceJointsDense-v3", "PandaStackDense-v3"],
    "highway_env": ["parking-v0", "highway-fast-v0", "racetrack-oval-v0", "parking-ActionRepeat-v0", "u-turn-v0"],
    "PyFlyt.gym_envs": ["PyFlyt/QuadX-Ball-In-Cup-v4"],
    "gym_pusht": ["gym_pusht/PushT-v0"],
    "gym_aloha": ["gym_aloha/AlohaInsertion-v0"],
    "gym_xarm": ["gym_xarm/XarmLift-v0"],
    "gym_hil": ["gym_hil/PandaPickCubeBase-v0"],
    "metaworld": ["Meta-World/MT1", "Meta-World/ML1-train"],
    "mo_gymnasium": ["mo-hopper-v5", "mo-lunar-lander-continuous-v3", "water-reservoir-v0"],
    "bluesky_gym": ["DescentEnv-v0", "HorizontalCREnv-v0", "StaticObstacleEnv-v0", "MergeEnv-v0"],
    "shimmy": ["dm_control/compatibility-env-v0"],
    "pybullet_envs_gymnasium": ["AntBulletEnv-v0", "Walker2DBulletEnv-v0"],
    "myosuite": ["myoHandKeyTurnFixed-v0"],
}


def test_ids_of_known_packages_are_found() -> None:
    assert set(IDS) == {package.module for package in PACKAGES}
    packages = {env_id: find_package(env_id) for ids in IDS.values() for env_id in ids}
    found = {env_id: package and package.module for env_id, package in packages.items()}
    assert found == {env_id: module for module, ids in IDS.items() for env_id in ids}


def test_names_that_are_known_belong_to_no_other_package() -> None:
    # Other tests may have registered environments of the packages.
    own = [name for name, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("gymnasium.")]
    known = [task.name for task in list_tasks()] + own
    assert len(own) > 20
    assert [name for name in known if find_package(name) and not name.startswith("myo-")] == []


def test_id_of_a_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(third_party, "is_installed", lambda _: False)
    expected = (
        "unknown task 'FetchReach-v4': it is one of gymnasium-robotics: pip install gymnasium-robotics, then write"
    )
    with pytest.raises(UserError, match=f"{expected} 'gymnasium_robotics:FetchReach-v4'"):
        get_task("FetchReach-v4")


def test_id_of_an_installed_package_names_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyFlyt", pytest)
    name = "PyFlyt/QuadX-Hover-v4"
    with pytest.raises(UserError, match=f"importing 'PyFlyt.gym_envs' registers it, so write 'PyFlyt.gym_envs:{name}'"):
        get_task(name)


@pytest.mark.parametrize("target", ["gym_pusht:gym_pusht/PushT-v0", "PyFlyt.gym_envs:PyFlyt/QuadX-Hover-v4"])
def test_missing_module_names_the_command_that_installs_it(target: str) -> None:
    package = re.match(r"\w+", target)
    assert package is not None
    if third_party.is_installed(package[0]):
        pytest.skip(f"{package[0]} is installed")
    with pytest.raises(UserError, match=f"no module named '{package[0]}' .*; pip install [Pg]"):
        get_task(target)


def test_ids_that_a_module_registers_by_a_function_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registers_later.py").write_text(
        "import gymnasium\ndef register_envs():\n    gymnasium.register('Later-v0', 'tests.tasks.zoo:Counter')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert get_task("registers_later:Later-v0").suite == "gymnasium"
    finally:
        gymnasium.registry.pop("Later-v0", None)
        sys.modules.pop("registers_later", None)
