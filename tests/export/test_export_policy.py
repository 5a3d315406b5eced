"""``export_policy`` and ``surefoot export``: the exported model against the trained actor, and errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

import surefoot
from surefoot.algorithms import NetworkState
from surefoot.cli.main import main
from surefoot.errors import MissingDependency, RunFailure, UserError
from surefoot.export import reference
from surefoot.networks import Actor, LogStdRange
from surefoot.spaces import ActionSpec
from tests.training.small import small

from .conftest import ACTION, ENV_STEPS, HIGH, LOW, OBSERVATION, MakeRun

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_onnx.py"


def actor_action(actors: NetworkState, index: int, observation: np.ndarray) -> np.ndarray:
    """Float32 action of the Flax actor of seed number ``index``, in the environment's units."""
    algorithm = small(surefoot.crossq_wn())
    own = jax.tree.map(lambda leaf: leaf[index], {"params": actors.params, "batch_stats": actors.batch_stats})
    mean, _ = Actor(algorithm.actor, LogStdRange(), ACTION).apply(own, observation, False)
    low, high = np.array(LOW), np.array(HIGH)
    return low + (high - low) * (np.tanh(np.asarray(mean)) + 1) / 2


def observations() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(20, OBSERVATION)).astype(np.float32)


def run_file(path: Path, observation: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {"observation": observation})[0]


def test_exported_model_equals_trained_actor(make_run: MakeRun, actors: NetworkState, tmp_path: Path) -> None:
    export = surefoot.export_policy(make_run(), seed=3, out=tmp_path / "policy.onnx")
    assert (export.seed, export.observations) == (3, 11)  # 10 stored frames and the current one
    assert 0 < export.max_difference <= 1e-5
    actual = run_file(export.path, observations())
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, actor_action(actors, 0, observations()), atol=1e-5)


def test_default_seed_is_the_best_one(make_run: MakeRun, actors: NetworkState, tmp_path: Path) -> None:
    export = surefoot.export_policy(make_run(), out=tmp_path / "best.onnx")
    assert (export.seed, export.observations) == (4, 21)
    np.testing.assert_allclose(
        run_file(export.path, observations()), actor_action(actors, 1, observations()), atol=1e-5
    )


def test_metadata_is_embedded(make_run: MakeRun, tmp_path: Path) -> None:
    export = surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx")
    texts = onnxruntime.InferenceSession(export.path.read_bytes()).get_modelmeta().custom_metadata_map
    about = {name: text if name in _TEXTS else json.loads(text) for name, text in texts.items()}
    assert about == export.metadata
    assert about["checked"] == {"observations": 21, "max_difference": export.max_difference}
    shapes = {"position": [3], "velocity": [2]}
    assert about["observation"] == {"size": 5, "dtype": "float32", "keys": list(shapes), "shape": shapes}
    assert list(about["observation"]["shape"]) == list(shapes)
    assert (about["action"]["size"], about["action"]["shape"], about["action"]["dtype"]) == (2, [2], "float32")
    assert about["action"]["high"] == pytest.approx(HIGH)
    assert (about["task"], about["algorithm"], about["suite"]) == ("cheetah-run", "crossq-wn", "dmc")
    assert (about["seed"], about["score"], about["env_steps"]) == (4, 0.75, ENV_STEPS)
    assert about["scores_of_all_seeds"] == {"3": 0.25, "4": 0.75}
    assert about["versions"] == {"surefoot": surefoot.__version__, "training": {"jax": "0.12"}}
    assert (about["git_revision"], about["action_repeat"]) == ("abc123", 2)


_TEXTS = ("task", "suite", "algorithm", "git_revision")


def test_model_has_named_inputs_folded_norms_and_float32_constants(make_run: MakeRun, tmp_path: Path) -> None:
    model = onnx.load(surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx").path)
    for value, name, size in ((model.graph.input[0], "observation", 5), (model.graph.output[0], "action", 2)):
        batch, width = value.type.tensor_type.shape.dim
        assert (value.name, batch.dim_param, width.dim_value) == (name, "batch", size)
    operations = [node.op_type for node in model.graph.node]
    assert {constant.data_type for constant in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    assert operations == ["Sub", "Gemm", "Relu", "Gemm", "Relu", "Gemm", "Tanh", "Mul", "Add", "Max", "Min"]


def set_seed_4_to_nan(arrays: dict[str, np.ndarray]) -> None:
    arrays["mean/kernel"][1] = np.nan


def perturb_seed_4(arrays: dict[str, np.ndarray]) -> None:
    arrays["mean/bias"][1] += 1e-3


def test_policy_that_differs_from_trained_actor_is_rejected(make_run: MakeRun, tmp_path: Path) -> None:
    path, out = make_run(perturb_seed_4), tmp_path / "policy.onnx"
    with pytest.raises(UserError, match=r"seed 4 differs from the trained actor by .*, expected at most 1e-05"):
        surefoot.export_policy(path, out=out)
    assert not out.exists()
    assert surefoot.export_policy(path, seed=3, out=out).seed == 3  # the other seed is unchanged


def test_diverged_seed_is_rejected_and_never_the_default(make_run: MakeRun, tmp_path: Path) -> None:
    path, out = make_run(set_seed_4_to_nan), tmp_path / "policy.onnx"
    with pytest.raises(UserError, match=r"seed 4 .* diverged"):
        surefoot.export_policy(path, seed=4, out=out)
    assert not out.exists()
    assert surefoot.export_policy(path, out=out).seed == 3


def test_policy_of_another_step_than_the_checkpoint_is_rejected(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    spec = json.loads((path / "policy" / "policy.json").read_text())
    (path / "policy" / "policy.json").write_text(json.dumps(spec | {"env_steps": 1_000}))
    with pytest.raises(UserError, match=r"env step 1,000, but its last good checkpoint of 2,000, .* resume"):
        surefoot.export_policy(path, out=tmp_path / "policy.onnx")


def test_missing_config_entries_are_null_in_metadata(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run()
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"machine": 3, "resolved": ["x"]}))
    about = surefoot.export_policy(path, out=tmp_path / "policy.onnx").metadata
    assert (about["git_revision"], about["versions"]["training"], about["action_repeat"]) == (None, None, None)


def test_tolerance_is_one_float32_step_where_units_are_large() -> None:
    spec = ActionSpec((1,), "float32", (10_000.0,), (10_001.0,))
    trained = reference.Reference(np.zeros((1, 1), np.float32), np.array([[0.1234]]))
    rounded = np.array([[10_000 + 0.5 * 1.1234]], np.float32)
    actions = (rounded, rounded + np.float32(0.002), np.array([[np.nan]]))
    assert [reference.compare(action, trained, spec)[1] for action in actions] == [True, False, False]


def test_errors_are_reported_and_nothing_is_written(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder.onnx").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for arguments, expected in (
        (["--seed", "7"], ["no seed 7", "it has 3, 4"]),
        (["--seed", "x"], ["--seed", "expected a whole number"]),
        (["-o", "policy.npz"], ["*.onnx", "'policy.npz'"]),
        (["-o", "missing/policy.onnx"], ["missing/policy.onnx", "is missing"]),
        (["-o", "file/policy.onnx"], ["file/policy.onnx", "is a file"]),
        (["-o", "folder.onnx"], ["folder.onnx", "is a folder"]),
        (["-o", "run/policy/policy.onnx"], ["belongs to the run"]),
        (["-o", f"{'x' * 300}.onnx"], ["File name too long"]),
    ):
        assert main(["export", "run", *arguments]) == 2, arguments
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        for part in expected:
            assert part in err
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("policy", "contains no policy"), ("checkpoints", "no usable checkpoint"), ("", "is not a run")],
)
def test_missing_parts_of_a_run_are_named(
    missing: str, expected: str, make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run()
    shutil.rmtree(path / missing)
    assert main(["export", str(path), "-o", str(tmp_path / "policy.onnx")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "policy.onnx").exists()


def test_full_disk_keeps_the_old_file(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = make_run(), tmp_path / "policy.onnx"
    out.write_text("old")
    monkeypatch.setattr("surefoot.runs.atomic.sync_file", _full)
    with pytest.raises(RunFailure, match="No space left"):
        surefoot.export_policy(path, out=out)
    assert out.read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["policy.onnx", "run"]


def _full(stream: Any) -> None:
    raise OSError(28, "No space left on device")


def test_missing_package_error_names_the_extra(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"'onnxruntime'.*pip install 'surefoot\[export\]'"):
        surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx")


def test_command_prints_a_summary(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run"]) == 0
    first, about, sizes, difference = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"run\.onnx \(\d+ kB\)", first)
    assert about == "  cheetah-run, crossq-wn, seed 4, 2,000 env steps, score 0.75"
    assert "[batch, 5] float32 -> action [batch, 2] float32" in sizes
    assert "on 21 stored observations" in difference
    assert run_file(Path("run.onnx"), observations()).shape == (20, 2)


def test_example_runs_without_surefoot(make_run: MakeRun, tmp_path: Path) -> None:
    model = surefoot.export_policy(make_run(), out=tmp_path / "policy.onnx").path
    blocked = "import runpy, sys; sys.modules |= {'surefoot': None, 'jax': None}; sys.argv = sys.argv[1:]; "
    command = [sys.executable, "-c", blocked + "runpy.run_path(sys.argv[0], run_name='__main__')", str(EXAMPLE)]
    done = subprocess.run([*command, str(model)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"p50 [\d.]+ µs, p99 [\d.]+ µs per call", done.stdout)
