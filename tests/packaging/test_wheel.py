"""Contents of the wheel and sdist, and the wheel with only its base dependencies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ALONE = Path(__file__).with_name("alone.py")

TRAIN = """
    import dataclasses
    import surefoot
    algorithm = surefoot.crossq_wn(utd=1).replace(batch_size=16, warmup_transitions=100)
    parts = {name: dataclasses.replace(getattr(algorithm, name), widths=(16, 16)) for name in ("actor", "critic")}
    settings = {"env_steps": 160, "evaluation_episodes": 1, "env_workers": 0, "out": "run"}
    assert surefoot.train("probe-action", algorithm=algorithm.replace(**parts), **settings).completed
"""

MISSING: dict[str, tuple[str, list[str]]] = {
    "DM Control": ("dmc", ["train", "cheetah-run", "--out", "new"]),
    "MyoSuite": ("myosuite", ["train", "myo-key-turn", "--out", "new"]),
    "Gymnasium's MuJoCo tasks": ("mujoco", ["train", "HalfCheetah-v5", "--out", "new"]),
    "TensorBoard": ("tensorboard", ["train", "probe-action", "--dashboard", "tensorboard", "--out", "new"]),
    "Weights & Biases": ("wandb", ["train", "probe-action", "--dashboard", "wandb", "--out", "new"]),
    "sync to TensorBoard": ("tensorboard", ["sync", "run", "--to", "tensorboard"]),
    "sync to Weights & Biases": ("wandb", ["sync", "run", "--to", "wandb"]),
    "Minari": ("minari", ["train", "probe-action", "--prefill", "some/data-v0", "--out", "new"]),
    "ONNX": ("export", ["export", "run", "--out", "new.onnx"]),
    "video": ("video", ["record", "run", "--out", "new.mp4"]),
}
"""Feature -> the extra that it needs, and a command that uses it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist and the wheel as built by `make build`."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        ["make", "-s", "build", f"DIST={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def alone(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and the import hook."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "alone.py").write_text(ALONE.read_text())
    (site / "sitecustomize.py").write_text("import alone\nalone.install()\n")
    return site


def python(site: Path, folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def trained(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run trained by the wheel."""
    folder = tmp_path_factory.mktemp("trained")
    done = python(alone, folder, TRAIN)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_wheel_contains_the_package_with_typing_marker_and_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(about).decode()
    info = about.removesuffix("/METADATA")
    source = ROOT / "src"
    package = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    assert "surefoot/py.typed" in package
    extra = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == package | extra
    assert "License-Expression: MIT" in metadata


def test_sdist_contains_sources_and_no_build_output(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    files = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "PKG-INFO"}
    expected = {"src"} | files
    assert top - {".gitignore"} == expected
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_optional_packages_are_hidden(alone: Path, tmp_path: Path) -> None:
    code = """
        import importlib.util, json, sys
        import surefoot
        wanted = ["dm_control", "mujoco", "myosuite", "onnx", "onnxruntime", "tensorboard", "tensorboardX", "wandb"]
        wanted += ["imageio", "minari", "h5py", "optuna", "matplotlib", "pandas", "pytest", "hypothesis"]
        found = []
        for name in wanted:
            try:
                found += [name] if importlib.util.find_spec(name) else []
            except ModuleNotFoundError:
                pass
        print(json.dumps([surefoot.__file__, surefoot.__version__, found]))
    """
    done = python(alone, tmp_path, code)
    file, version, found = json.loads(done.stdout)
    assert Path(file).is_relative_to(alone)
    assert version == "0.1.0"
    assert found == []


def test_wheel_resumes_evaluates_and_acts(alone: Path, trained: Path) -> None:
    code = """
        import sys
        import surefoot
        from surefoot.cli.main import main
        assert main(["resume", "run", "--env-steps", "180"]) == 0
        assert main(["evaluate", "run", "--episodes", "1"]) == 0
        assert main(["tasks"]) == main(["algorithms"]) == 0
        assert surefoot.load_policy("run")([0.5, 1.0]).shape == (1,)
    """
    done = python(alone, trained, code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_numpy_and_the_wheel_alone_play_a_policy(built: Path, trained: Path, tmp_path: Path) -> None:
    """As docs/deploy.md installs it."""
    venv.create(tmp_path / "venv", with_pip=True)
    own = tmp_path / "venv" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    for arguments in (["numpy>=2.1"], ["--no-deps", str(wheel)]):
        command = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        if done.returncode and "numpy>=2.1" in arguments:
            pytest.skip(f"NumPy cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr[-2000:]
    shutil.copytree(trained / "run" / "policy", tmp_path / "policy")
    code = """
        import importlib.metadata
        import surefoot
        assert {one.name.lower() for one in importlib.metadata.distributions()} == {"numpy", "pip", "surefoot"}
        policy = surefoot.load_policy("policy")
        assert policy([0.5, 1.0]).shape == (1,)
        print(policy)
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(own), "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Policy(task='probe-action', algorithm="), done.stderr[-2000:]


def test_missing_extra_error_is_one_line_and_nothing_is_written(alone: Path, trained: Path) -> None:
    code = """
        import contextlib, io, json, pathlib, sys
        from surefoot.cli.main import main
        def files():
            here = pathlib.Path().rglob("*")
            return {str(path): path.stat().st_mtime_ns for path in here if path.is_file() and path.name != ".lock"}
        results = {}
        for name, arguments in json.loads(sys.argv[1]).items():
            before, errors = files(), io.StringIO()
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                code = main(arguments)
            results[name] = [code, errors.getvalue(), files() == before]
        print(json.dumps(results))
    """
    done = python(alone, trained, code, json.dumps({name: arguments for name, (_, arguments) in MISSING.items()}))
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])
    for name, (extra, _) in MISSING.items():
        code, line, unchanged = results[name]
        assert code == 2, (name, line)
        assert line.count("\n") == 1, (name, line)
        command = f"pip install 'surefoot[{extra}]' (in a checkout: make setup EXTRA={extra})"
        assert line.endswith(f"is not installed: {command}\n"), (name, line)
        assert unchanged, name
