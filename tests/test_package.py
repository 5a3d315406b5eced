"""Public names, version and entry points."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import surefoot
from surefoot.errors import BASE_PACKAGES

ROOT = Path(__file__).parents[1]


def test_public_names_resolve_and_have_docstrings() -> None:
    assert set(surefoot.__all__) <= set(dir(surefoot))
    names = [name for name in surefoot.__all__ if name != "__version__"]
    assert [name for name in names if not getattr(surefoot, name).__doc__] == []
    assert [name for name in names if getattr(surefoot, name) is not getattr(surefoot, name)] == []


def test_lists_of_public_names_agree() -> None:
    tree = ast.parse(Path(surefoot.__file__).read_text())
    for_checkers, at_run_time = (node for node in tree.body if isinstance(node, ast.If))
    assert [ast.unparse(node.test) for node in (for_checkers, at_run_time)] == ["TYPE_CHECKING", "not TYPE_CHECKING"]
    imported = {
        alias.name: node.module
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == surefoot._HOME
    assert set(surefoot.__all__) == set(surefoot._HOME) | {"__version__"}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = surefoot.trian  # type: ignore[attr-defined]


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert surefoot.__version__ == project["version"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_base_packages_are_the_dependencies() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {requirement.partition(">")[0] for requirement in requirements}
    assert names - set(BASE_PACKAGES) == {"numpy"}


def test_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "surefoot", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "train" in done.stdout
    assert done.stderr == ""


def test_exit_code_reaches_the_shell() -> None:
    done = subprocess.run([sys.executable, "-m", "surefoot", "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("surefoot: error: unknown command 'trian'")
