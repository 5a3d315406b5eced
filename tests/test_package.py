"""The package as a user meets it: its names, its version, its command."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import surefoot

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", surefoot.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(surefoot, name)
    assert name in dir(surefoot)
    if name != "__version__":
        assert value.__doc__
        assert getattr(surefoot, name) is value


def test_the_three_lists_of_public_names_agree() -> None:
    tree = ast.parse(Path(surefoot.__file__).read_text())
    (for_checkers,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == surefoot._HOME
    assert set(surefoot.__all__) == set(surefoot._HOME) | {"__version__"}
    assert list(surefoot._HOME) == sorted(surefoot._HOME)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = surefoot.trian


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert surefoot.__version__ == project["version"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "surefoot", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "train" in done.stdout
    assert done.stderr == ""


def test_an_exit_code_reaches_the_shell() -> None:
    done = subprocess.run([sys.executable, "-m", "surefoot", "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("surefoot: error: unknown command 'trian'")
