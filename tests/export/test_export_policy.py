"""``export_policy`` and ``surefoot export``: what is written is what was trained, or nothing is written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import export as jax_export
from jax.extend import mlir
from jaxlib.mlir import ir

import surefoot
from surefoot.algorithms import NetworkState
from surefoot.cli.main import main
from surefoot.errors import MissingDependency, RunFailure, UserError
from surefoot.export import numpy_file, reference
from surefoot.networks import Actor, LogStdRange
from surefoot.runs.arrays import read_arrays
from tests.training.small import small

from .conftest import ACTION, ENV_STEPS, HIGH, LOW, OBSERVATION, MakeRun

ENDINGS = {"onnx": ".onnx", "numpy": ".npz", "stablehlo": ".zip"}
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "run_onnx.py"


def actor_action(actors: NetworkState, index: int, observation: np.ndarray) -> np.ndarray:
    """What the Flax actor of seed number ``index`` does in float32, in the environment's units."""
    algorithm = small(surefoot.crossq_wn())
    own = jax.tree.map(lambda leaf: leaf[index], {"params": actors.params, "batch_stats": actors.batch_stats})
    mean, _ = Actor(algorithm.actor, LogStdRange(), ACTION).apply(own, observation, False)
    low, high = np.array(LOW), np.array(HIGH)
    return low + (high - low) * (np.tanh(np.asarray(mean)) + 1) / 2


def observations() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(20, OBSERVATION)).astype(np.float32)


def run_file(path: Path, kind: str, observation: np.ndarray) -> np.ndarray:
    """Run a file with nothing of this library."""
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        return session.run(None, {"observation": observation})[0]
    if kind == "stablehlo":
        with zipfile.ZipFile(path) as archive:
            return np.asarray(jax_export.deserialize(bytearray(archive.read("policy.jax_export"))).call(observation))
    return documented_numpy(path)(observation)


def documented_numpy(path: Path) -> Any:
    """The function ``act`` that the code in docs/deploy.md defines."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    (code,) = re.findall(r"```python\n(import json\nimport numpy.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace('"dog.npz"', repr(str(path))), names)
    return names["act"]


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_file_acts_as_the_trained_actor(kind: str, make_run: MakeRun, actors: NetworkState, tmp_path: Path) -> None:
    export = surefoot.export_policy(make_run(), kind, seed=3, out=tmp_path / f"policy{ENDINGS[kind]}")
    assert (export.seed, export.format, export.observations) == (3, kind, 11)  # 10 frames of its own, and the newest
    assert 0 < export.max_difference <= 1e-5
    actual = run_file(export.path, kind, observations())
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, actor_action(actors, 0, observations()), atol=1e-5)


def test_the_best_seed_is_the_default(make_run: MakeRun, actors: NetworkState, tmp_path: Path) -> None:
    export = surefoot.export_policy(make_run(), "onnx", out=tmp_path / "best.onnx")
    assert (export.seed, export.observations) == (4, 21)
    actual = run_file(export.path, "onnx", observations())
    np.testing.assert_allclose(actual, actor_action(actors, 1, observations()), atol=1e-5)


def test_what_one_must_know_is_inside(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    found = {}
    for kind, ending in ENDINGS.items():
        export = surefoot.export_policy(path, kind, out=tmp_path / f"policy{ending}")
        if kind == "onnx":
            texts = onnxruntime.InferenceSession(export.path.read_bytes()).get_modelmeta().custom_metadata_map
            found[kind] = {name: text if name in _TEXTS else json.loads(text) for name, text in texts.items()}
        elif kind == "numpy":
            found[kind] = json.loads(read_arrays(export.path)["metadata"].tobytes())
            assert [layer["op"] for layer in found[kind].pop("layers")] == ["dense", "relu", "dense", "relu", "dense"]
        else:
            with zipfile.ZipFile(export.path) as archive:
                found[kind] = json.loads(archive.read("metadata.json"))
        assert found[kind].pop("checked") == {"observations": 21, "max_difference": export.max_difference}
    assert found["onnx"] == found["numpy"] == found["stablehlo"]
    about = found["onnx"]
    assert about["observation"] == {"size": 5, "dtype": "float32", "keys": ["position", "velocity"]}
    assert about["action"]["high"] == pytest.approx(HIGH)
    assert (about["task"], about["algorithm"], about["suite"]) == ("cheetah-run", "crossq-wn", "dmc")
    assert (about["seed"], about["score"], about["env_steps"]) == (4, 0.75, ENV_STEPS)
    assert about["scores_of_all_seeds"] == {"3": 0.25, "4": 0.75}
    assert about["versions"] == {"surefoot": surefoot.__version__, "training": {"jax": "0.12"}}
    assert (about["git_revision"], about["action_repeat"]) == ("abc123", 2)


_TEXTS = ("task", "suite", "algorithm", "git_revision")


def test_the_onnx_model_is_what_runtimes_expect(make_run: MakeRun, tmp_path: Path) -> None:
    model = onnx.load(surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx").path)
    for value, name, size in ((model.graph.input[0], "observation", 5), (model.graph.output[0], "action", 2)):
        batch, width = value.type.tensor_type.shape.dim
        assert (value.name, batch.dim_param, width.dim_value) == (name, "batch", size)
    operations = [node.op_type for node in model.graph.node]
    assert operations == ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Tanh", "Mul", "Add", "Max", "Min"]


def test_the_stablehlo_module_is_for_a_batch_of_one(make_run: MakeRun, tmp_path: Path) -> None:
    with zipfile.ZipFile(surefoot.export_policy(make_run(), "stablehlo", out=tmp_path / "policy.zip").path) as archive:
        module = archive.read("policy_batch_1.mlirbc")
    with ir.Context():
        text = str(mlir.deserialize_portable_artifact(module))
    assert "tensor<1x5xf32>" in text
    assert "stablehlo.dot_general" in text


def poison_seed_4(arrays: dict[str, np.ndarray]) -> None:
    arrays["mean/kernel"][1] = np.nan


def nudge_seed_4(arrays: dict[str, np.ndarray]) -> None:
    arrays["mean/bias"][1] += 1e-3


def test_another_policy_than_the_trained_one_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    path, out = make_run(nudge_seed_4), tmp_path / "policy.npz"
    with pytest.raises(UserError, match=r"seed 4 differs from the trained actor by .*, expected at most 1e-05"):
        surefoot.export_policy(path, "numpy", out=out)
    assert not out.exists()
    assert surefoot.export_policy(path, "numpy", seed=3, out=out).seed == 3  # the other seed is as it was trained


def test_a_seed_that_diverged_is_refused_and_never_chosen(make_run: MakeRun, tmp_path: Path) -> None:
    path, out = make_run(poison_seed_4), tmp_path / "policy.npz"
    with pytest.raises(UserError, match=r"seed 4 .* diverged"):
        surefoot.export_policy(path, "numpy", seed=4, out=out)
    assert not out.exists()
    assert surefoot.export_policy(path, "numpy", out=out).seed == 3


def test_a_policy_that_is_not_the_checkpoints_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    spec = json.loads((path / "policy" / "policy.json").read_text())
    (path / "policy" / "policy.json").write_text(json.dumps(spec | {"env_steps": 1_000}))
    with pytest.raises(UserError, match=r"env step 1,000, but its last good checkpoint of 2,000, .* resume"):
        surefoot.export_policy(path, "numpy", out=tmp_path / "policy.npz")


def test_what_a_config_lost_is_null_in_the_file(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"machine": 3, "resolved": ["x"]}))
    about = surefoot.export_policy(path, "numpy", out=tmp_path / "policy.npz").metadata
    assert (about["git_revision"], about["versions"]["training"], about["action_repeat"]) == (None, None, None)


def test_units_that_float32_cannot_resolve_are_not_the_exports_fault() -> None:
    low, high = np.array([10_000.0], np.float32), np.array([10_001.0], np.float32)
    trained = reference.Reference(np.zeros((1, 1), np.float32), np.array([[0.1234]]))
    rounded = np.array([[10_000 + 0.5 * 1.1234]], np.float32)
    assert reference.compare(rounded, trained, low, high).accepted
    assert not reference.compare(rounded + np.float32(0.002), trained, low, high).accepted
    assert not reference.compare(np.array([[np.nan]]), trained, low, high).accepted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "onxn"], ["'onxn'", "onnx, numpy, stablehlo", "did you mean 'onnx'?"]),
        ([], ["--format", "is missing"]),
        (["--format", "numpy", "--seed", "7"], ["no seed 7", "it has 3, 4"]),
        (["--format", "numpy", "--seed", "x"], ["--seed", "expected a whole number"]),
        (["--format", "numpy", "--best", "--seed", "3"], ["--best", "--seed 3", "exclude"]),
        (["--format", "numpy", "-o", "policy.onnx"], ["*.npz", "'policy.onnx'"]),
        (["--format", "numpy", "-o", "nowhere/policy.npz"], ["nowhere/policy.npz", "is missing"]),
        (["--format", "numpy", "-o", "file/policy.npz"], ["file/policy.npz", "is a file"]),
        (["--format", "numpy", "-o", "folder.npz"], ["folder.npz", "is a folder"]),
        (["--format", "numpy", "-o", "run/policy/policy.npz"], ["belongs to the run"]),
        (["--format", "numpy", "-o", f"{'x' * 300}.npz"], ["File name too long"]),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str],
    expected: list[str],
    make_run: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run()
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder.npz").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["export", "run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    for part in expected:
        assert part in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("gone", "expected"), [("policy", "holds no policy"), ("checkpoints", "no usable checkpoint"), ("", "is not a run")]
)
def test_what_is_not_there_is_named(
    gone: str, expected: str, make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run()
    shutil.rmtree(path / gone)
    assert main(["export", str(path), "--format", "numpy", "-o", str(tmp_path / "policy.npz")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "policy.npz").exists()


def test_a_full_disk_leaves_the_old_file(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = make_run(), tmp_path / "policy.npz"
    out.write_text("old")
    monkeypatch.setattr("surefoot.runs.atomic.sync_file", _full)
    with pytest.raises(RunFailure, match="No space left"):
        surefoot.export_policy(path, "numpy", out=out)
    assert out.read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["policy.npz", "run"]


def _full(stream: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_missing_package_is_named_with_its_command(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"'onnxruntime'.*pip install 'surefoot\[export\]'"):
        surefoot.export_policy(make_run(), "onnx", out=tmp_path / "policy.onnx")


def test_the_command_says_what_it_wrote(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "--format", "numpy", "--best"]) == 0
    first, about, sizes, difference = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"run\.npz \(\d+ kB\)", first)
    assert about == "  cheetah-run, crossq-wn, seed 4, 2,000 env steps, score 0.75"
    assert "[batch, 5] -> action [batch, 2]" in sizes
    assert "on 21 stored observations" in difference
    assert numpy_file.act(Path("run.npz").read_bytes(), observations()).shape == (20, 2)


def test_the_example_needs_no_surefoot(make_run: MakeRun, tmp_path: Path) -> None:
    model = surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx").path
    blocked = "import runpy, sys; sys.modules |= {'surefoot': None, 'jax': None}; sys.argv = sys.argv[1:]; "
    command = [sys.executable, "-c", blocked + "runpy.run_path(sys.argv[0], run_name='__main__')", str(EXAMPLE)]
    done = subprocess.run([*command, str(model)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"p50 [\d.]+ µs, p99 [\d.]+ µs per call", done.stdout)
