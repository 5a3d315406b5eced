"""Dependencies between packages, and the packages that must import without JAX or a simulator."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "surefoot"

MAY_IMPORT: dict[str, set[str]] = {
    "text": {"encodable", "streams"},
    "encodable": set(),
    "errors": {"text"},
    "keywords": {"errors"},
    "engine": set(),
    "whole_numbers": {"errors"},
    "typed_settings": {"algorithms", "machine", "networks", "engine"},
    "misplaced": {"typed_settings", "errors"},
    "processes": set(),
    "spaces": {"errors"},
    "control_groups": set(),
    "machine": {"control_groups", "processes", "errors"},
    "types": set(),
    "signals": set(),
    "streams": {"encodable"},
    "runs": {"text", "errors"},
    "policy": {"whole_numbers", "misplaced", "spaces", "runs", "errors"},
    "tasks": {
        "simulators",
        "engine",
        "misplaced",
        "whole_numbers",
        "keywords",
        "text",
        "streams",
        "signals",
        "spaces",
        "machine",
        "processes",
        "runs",
        "errors",
    },
    "simulators": {"spaces", "tasks", "types", "errors"},
    "output": {"runs", "errors"},
    "model_card": {"keywords", "text", "output", "policy", "runs", "errors"},
    "networks": {"whole_numbers", "machine", "types", "runs", "errors"},
    "replay": {"types", "runs", "errors"},
    "algorithms": {
        "whole_numbers",
        "misplaced",
        "typed_settings",
        "machine",
        "networks",
        "replay",
        "types",
        "runs",
        "errors",
    },
    "training": {
        "simulators",
        "engine",
        "misplaced",
        "keywords",
        "typed_settings",
        "whole_numbers",
        "text",
        "spaces",
        "streams",
        "signals",
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
    "dashboards": {"streams", "text", "training", "runs", "errors"},
    "export": {
        "spaces",
        "text",
        "output",
        "training",
        "algorithms",
        "networks",
        "tasks",
        "policy",
        "runs",
        "types",
        "errors",
    },
    "agent": {
        "misplaced",
        "whole_numbers",
        "spaces",
        "machine",
        "training",
        "algorithms",
        "networks",
        "replay",
        "policy",
        "tasks",
        "runs",
        "types",
        "errors",
    },
    "diagnostics": {"algorithms", "networks", "types", "errors"},
    "benchmark": {
        "misplaced",
        "keywords",
        "whole_numbers",
        "text",
        "control_groups",
        "streams",
        "signals",
        "machine",
        "processes",
        "training",
        "algorithms",
        "networks",
        "replay",
        "tasks",
        "types",
        "runs",
        "errors",
    },
    "report": {"whole_numbers", "text", "output", "machine", "processes", "runs", "errors"},
    "video": {
        "misplaced",
        "whole_numbers",
        "spaces",
        "output",
        "machine",
        "processes",
        "tasks",
        "policy",
        "runs",
        "errors",
    },
    "cli": {
        "engine",
        "encodable",
        "misplaced",
        "keywords",
        "whole_numbers",
        "text",
        "streams",
        "signals",
        "machine",
        "control_groups",
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
"""Packages that a package may import, also inside a function."""

SURFACE = ("__init__", "__main__")
"""Re-export names of every package, so nothing else may import them."""

HEAVY = {"jax", "jaxlib", "flax", "optax", "dm_control", "mujoco", "myosuite"}
NEVER = {
    "runs": HEAVY,
    "dashboards": HEAVY,
    "report": HEAVY | {"gymnasium"},
    "policy": HEAVY | {"gymnasium"},
    "spaces": HEAVY | {"gymnasium"},
    "tasks": {"jax", "jaxlib", "flax", "optax"},
}
"""Third-party packages that a package must not import, not even inside a function."""
NOT_AT_TOP = {"cli": HEAVY, "tasks": HEAVY, "training/events.py": HEAVY, "machine.py": HEAVY}
"""Third-party packages that may be imported inside functions only, by path prefix."""


LAZY_SUITES = {"tasks/dmc.py", "tasks/myosuite.py"}
"""Import their simulator at the top: the registry imports them only when a task of theirs is made."""


def modules() -> dict[str, Path]:
    """Every source file by its path within the package."""
    return {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}


def package_of(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path, *, top_only: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports; ``from surefoot import x`` counts as ``surefoot.x``."""
    tree = parse(path)
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    inside_functions = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if top_only and (id(node) in inside_functions or id(node) in typing_only):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            assert node.module is not None
            if node.module == "surefoot":
                yield from (f"surefoot.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_package_has_a_rule() -> None:
    assert {package_of(module) for module in modules()} - set(SURFACE) == set(MAY_IMPORT)


def test_imports_follow_the_rules() -> None:
    violations = []
    for module, path in modules().items():
        importer = package_of(module)
        if importer in SURFACE:
            continue
        for name in imports(path):
            root, _, rest = name.partition(".")
            imported = rest.partition(".")[0]
            internal = root == "surefoot" and imported not in (importer, "__version__")
            if (internal and imported not in MAY_IMPORT[importer]) or root in NEVER.get(importer, set()):
                violations.append(f"{module} imports {name}")
    assert violations == []


def test_heavy_packages_are_imported_inside_functions_only() -> None:
    violations = [
        f"{module} imports {name}"
        for prefix, heavy in NOT_AT_TOP.items()
        for module, path in modules().items()
        if module.startswith(prefix) and module not in LAZY_SUITES
        for name in imports(path, top_only=True)
        if name.partition(".")[0] in heavy
    ]
    assert violations == []
    assert all(any(module.startswith(prefix) for module in modules()) for prefix in NOT_AT_TOP)


def test_one_file_imports_ray() -> None:
    assert [module for module, path in modules().items() if "ray" in set(imports(path))] == [
        "benchmark/ray_launcher.py"
    ]


def test_light_operations_import_neither_jax_nor_a_simulator() -> None:
    statements = [
        "import surefoot; dir(surefoot); surefoot.__version__; surefoot.UserError",
        "surefoot.load_policy",
        "import surefoot.runs",
        "surefoot.TensorBoard(); surefoot.WandB",
        "surefoot.list_tasks(); surefoot.get_task('dog-run')",
        "from surefoot.cli.main import main; main(['tasks'])",
        "main(['train', 'x', '--utd', 'two'])",
    ]
    script = "import sys"
    for statement in statements:
        script += f"\n{statement}\nprint('imported:', {statement!r}, sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found = [line for line in done.stdout.splitlines() if line.startswith("imported:")]
    assert found == [f"imported: {statement} []" for statement in statements]
