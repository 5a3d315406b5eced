"""Packages that register widely used environments, by the ids that they register."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import NamedTuple


class Package(NamedTuple):
    """A package that registers environments when it is imported.

    Attributes:
        module: Module to import.
        requirement: Its name for pip.
        ids: Regular expression of the ids, without the version.
    """

    module: str
    requirement: str
    ids: str


PACKAGES = (
    Package(
        "gymnasium_robotics",
        "gymnasium-robotics",
        r"Fetch(Reach|Push|Slide|PickAndPlace)\w*|Hand(Reach|Manipulate)\w*|AdroitHand\w+|FrankaKitchen|"
        r"(Point|Ant)Maze_\w+|MultiAgentMaze\w*",
    ),
    Package("panda_gym", "panda-gym", r"Panda(Reach|Push|Slide|PickAndPlace|Stack|Flip)(Joints)?(Dense)?"),
    Package(
        "highway_env",
        "highway-env",
        r"(highway|merge|roundabout|parking|intersection|racetrack|two-way|exit|u-turn|lane-keeping)(-\w+)*",
    ),
    Package("PyFlyt.gym_envs", "PyFlyt", r"PyFlyt/[\w-]+"),
    Package("gym_pusht", "gym-pusht", r"gym_pusht/\w+"),
    Package("gym_aloha", "gym-aloha", r"gym_aloha/\w+"),
    Package("gym_xarm", "gym-xarm", r"gym_xarm/\w+"),
    Package("gym_hil", "gym-hil", r"gym_hil/\w+"),
    Package("metaworld", "metaworld", r"Meta-World/[\w-]+"),
    Package("mo_gymnasium", "mo-gymnasium", r"mo-[\w-]+|water-reservoir"),
    Package(
        "bluesky_gym",
        "bluesky-gym",
        r"(Descent|PlanWaypoint|HorizontalCR|VerticalCR|SectorCR|StaticObstacle|Merge)Env",
    ),
    Package("shimmy", "'shimmy[dm-control]'", r"dm_control/[\w-]+"),
    Package("pybullet_envs_gymnasium", "pybullet_envs_gymnasium", r"\w+BulletEnv"),
    Package("myosuite", "'surefoot[myosuite]'", r"myo[A-Z]\w+|motorFinger\w+"),
)
"""The packages, in the order in which they are tried."""


def find_package(env_id: str) -> Package | None:
    """Return the package that registers an id, whether or not it is installed."""
    name = re.sub(r"-v\d+$", "", env_id)
    return next((package for package in PACKAGES if re.fullmatch(package.ids, name)), None)


def how_to_register(env_id: str) -> str | None:
    """Return how to make an unknown id of a known package a task, or None."""
    package = find_package(env_id)
    if package is None:
        return None
    name = f"{package.module}:{env_id}"
    if is_installed(package.module):
        return f"importing '{package.module}' registers it, so write '{name}'"
    return f"it is one of {package.requirement}: pip install {package.requirement}, then write '{name}'"


def how_to_install(module: str) -> str | None:
    """Return the command that installs a known package by the name of its module, or None."""
    top = module.partition(".")[0]
    known = [package for package in PACKAGES if package.module.partition(".")[0] == top]
    return f"pip install {known[0].requirement}" if known else None


def is_installed(module: str) -> bool:
    """Return whether the top-level package of a module can be imported, without importing it."""
    top = module.partition(".")[0]
    if top in sys.modules:
        return sys.modules[top] is not None
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
