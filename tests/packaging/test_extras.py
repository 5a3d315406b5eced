"""Each extra of the wheel, alone in a virtual environment, on the lowest and the newest supported Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import installed
from tests.packaging.used import USES

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

NEEDS_A_GPU = {"cuda"}

PYTHONS = ("3.12", "3.13")

TRAIN = """
import dataclasses
import square, surefoot
algorithm = surefoot.crossq_wn(utd=1).replace(batch_size=16, warmup_transitions=20)
parts = {name: dataclasses.replace(getattr(algorithm, name), widths=(8,)) for name in ("actor", "critic")}
settings = {"env_steps": 40, "evaluation_episodes": 1, "env_workers": 0, "out": "run", "skip_check": True}
assert surefoot.train("square:Square", algorithm=algorithm.replace(**parts), **settings).completed
"""


def test_every_extra_is_tried_on_the_supported_pythons() -> None:
    project = tomllib.loads((installed.ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) == set(USES) | NEEDS_A_GPU
    assert project["requires-python"] == ">=3.12,<3.14"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "square.py").write_text((HERE / "square.py").read_text())
    subprocess.run([sys.executable, "-c", TRAIN], cwd=folder, check=True, capture_output=True, timeout=240)
    return folder


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("extra", USES)
def test_extra_alone_does_what_it_is_for(wheel: Path, trained: Path, tmp_path: Path, extra: str, version: str) -> None:
    program = installed.install(tmp_path / "venv", version, [f"surefoot[{extra}] @ {wheel.as_uri()}"])
    shutil.copytree(trained, tmp_path / "own")
    environment = installed.clean_environment() | {"PYTHONPATH": str(tmp_path / "own"), "WANDB_MODE": "offline"}
    command = [program, str(HERE / "used.py"), extra]
    done = subprocess.run(command, cwd=tmp_path / "own", env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    if (extra, version) == ("dmc", "3.13"):
        assert "use Python 3.12, the same tasks in EnvPool" in done.stderr
