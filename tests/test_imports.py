"""Imports point one way, as docs/architecture.md draws it, and the light rooms stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "surefoot"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "machine": set(),
    "types": set(),
    "runs": {"errors"},
    "policy": {"runs", "errors"},
    "tasks": {"machine", "runs", "errors"},
    "output": {"runs", "errors"},
    "model_card": {"output", "policy", "runs", "errors"},
    "networks": {"types", "runs", "errors"},
    "replay": {"types", "runs", "errors"},
    "algorithms": {"networks", "replay", "types", "runs", "errors"},
    "training": {
        "diagnostics",
        "machine",
        "algorithms",
        "networks",
        "replay",
        "types",
        "tasks",
        "model_card",
        "policy",
        "runs",
        "errors",
    },
    "dashboards": {"training", "runs", "errors"},
    "export": {"output", "training", "algorithms", "networks", "tasks", "policy", "runs", "types", "errors"},
    "agent": {"machine", "training", "algorithms", "networks", "replay", "policy", "tasks", "runs", "types", "errors"},
    "diagnostics": {"algorithms", "networks", "types", "errors"},
    "benchmark": {"machine", "training", "algorithms", "networks", "replay", "tasks", "types", "runs", "errors"},
    "report": {"output", "runs", "errors"},
    "video": {"output", "tasks", "policy", "runs", "errors"},
    "cli": {
        "machine",
        "report",
        "video",
        "benchmark",
        "export",
        "model_card",
        "dashboards",
        "training",
        "algorithms",
        "tasks",
        "runs",
        "errors",
    },
}
"""For each room, the rooms it may import anywhere, also inside a function."""

SURFACE = ("__init__", "__main__")
"""The package's own surface hands out names of every room, so nothing inside may import it."""

HEAVY = {"jax", "jaxlib", "flax", "optax", "dm_control", "mujoco", "myosuite"}
NEVER = {
    "runs": HEAVY,
    "dashboards": HEAVY,
    "report": HEAVY | {"gymnasium"},
    "policy": HEAVY | {"gymnasium"},
    "tasks": {"jax", "jaxlib", "flax", "optax"},
}
"""What a room imports nowhere."""
NOT_AT_TOP = {"cli": HEAVY, "tasks": HEAVY, "training/events.py": HEAVY, "machine.py": HEAVY}
"""What importing a room does not import; its functions may."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Every module that a file imports, by its full name; ``from surefoot import x`` counts as ``surefoot.x``."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if top_only and (id(node) in inside or id(node) in typing_only):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module is not None
            if node.module == "surefoot":
                yield from (f"surefoot.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_room_has_a_rule() -> None:
    assert {room(path) for path in modules()} - set(SURFACE) == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    if here in SURFACE:
        return
    for name in imported(path):
        package, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if package == "surefoot" and there not in (here, "__version__"):
            assert there in MAY_IMPORT[here], f"{here} must not import {name}"
        assert package not in NEVER.get(here, set()), f"{here} must not import {name}"


def test_one_file_imports_ray() -> None:
    files = {path.relative_to(SOURCE).as_posix() for path in modules() if "ray" in set(imported(path))}
    assert files == {"benchmark/ray_launcher.py"}


@pytest.mark.parametrize("where", NOT_AT_TOP)
def test_importing_a_light_room_imports_nothing_heavy(where: str) -> None:
    paths = [path for path in modules() if path.relative_to(SOURCE).as_posix().startswith(where)]
    assert paths
    suites = {"tasks/dmc.py", "tasks/myosuite.py"}  # a suite's own file, which the registry imports when asked for it
    for path in paths:
        if path.relative_to(SOURCE).as_posix() in suites:
            continue
        found = {name.partition(".")[0] for name in imported(path, top_only=True)} & NOT_AT_TOP[where]
        assert not found, f"{path} imports {found} as soon as it is imported"


@pytest.mark.parametrize(
    "statement",
    [
        "import surefoot; dir(surefoot); surefoot.__version__; surefoot.UserError",
        "import surefoot; surefoot.load_policy",
        "import surefoot.runs",
        "import surefoot; surefoot.TensorBoard(); surefoot.WandB",
        "import surefoot; surefoot.list_tasks(); surefoot.get_task('dog-run')",
        "from surefoot.cli.main import main; main(['tasks'])",
        "from surefoot.cli.main import main; main(['train', 'x', '--utd', 'two'])",
    ],
)
def test_light_work_starts_no_jax_and_no_simulator(statement: str) -> None:
    script = f"{statement}\nimport sys; print('heavy:', sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "heavy: []"
