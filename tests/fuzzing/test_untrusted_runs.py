"""Untrusted policies and runs are loaded, or rejected with a UserError of one line."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.dashboards import LogFollower
from surefoot.errors import UserError
from surefoot.policy import load_policy, save_policy
from surefoot.runs import EVALUATION_COLUMNS, CsvLog, RunDirectory, read_evaluations, read_training
from surefoot.runs.arrays import read_arrays
from surefoot.runs.atomic import digest_of
from surefoot.runs.checkpoints import _checksum as manifest_checksum
from surefoot.runs.csvread import COUNTERS
from surefoot.runs.untrusted import parse_json
from tests.flat_spaces import flat_spaces
from tests.fuzzing.malformed import (
    MALFORMED_JSON,
    MALFORMED_NPZ,
    damaged,
    dump,
    irregular_files,
    is_rejected,
    other_values,
    sample,
)

EVALUATION = {"task": "t", "algorithm": "a", "utd": 2, "seed": 0, "env_steps": 10, "agent_steps": 5, "grad_steps": 0}
EVALUATION |= {"episode": 0, "return": 1.5, "length_env_steps": 10, "wall_seconds": 0.1}


def make_policy(folder: Path, bias: float = 0.5) -> None:
    arrays = {
        **{f"norm/{part}": np.ones((2, 3)) for part in ("mean", "var", "scale", "bias")},
        "dense/kernel": np.ones((2, 3, 4)),
        "dense/bias": np.full((2, 4), bias),
        "head/kernel": np.ones((2, 4, 1)),
    }
    head = {"op": "tanh_gaussian_head", "mean": "head", "log_std": "head", "mapping": "clip"}
    spec = {
        "spaces": flat_spaces({"a": [2], "b": [1]}, [-2.0], [1.0]),
        "task": "cheetah-run",
        "algorithm": "crossq-wn",
        "env_steps": 100,
        "seeds": [3, 4],
        "scores": [0.5, None],
        "layers": [
            {"op": "batch_norm", "name": "norm", "epsilon": 1e-3},
            {"op": "residual", "layers": [{"op": "relu"}]},
            {"op": "dense", "name": "dense"},
            {**head, "log_std_min": -10.0, "log_std_max": 2.0},
        ],
    }
    save_policy(folder, spec, arrays)


def make_run(path: Path, bias: float = 0.5) -> RunDirectory:
    run = RunDirectory.create(path, {"task": "cheetah-run", "seeds": [3, 4], "resolved": {"discount": 0.99}})
    with run.lock():
        log = CsvLog(run.path / "evaluations.csv", EVALUATION_COLUMNS)
        log.append([EVALUATION, EVALUATION | {"seed": 4, "episode": 1}])
        log.close()
        log = CsvLog(run.path / "training.csv", ("seed", "env_steps", "loss"))
        log.append([{"seed": 3, "env_steps": 5, "loss": 0.25}])
        log.close()
        arrays = {"learner": {"w": np.full(5, bias), "done": np.array([True, False])}}
        for step in (10, 20):
            segment = run.checkpoints.write_segment(step, step + 10, {"rewards": np.full((2, 10), bias)})
            run.checkpoints.save(step, arrays, {"wall_seconds": 1.5, "scores": [None, 2]}, [segment])
    make_policy(run.policy_path, bias)
    return run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("template") / "run").path


@pytest.fixture
def run(template: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory.open(shutil.copytree(template, tmp_path / "run"))


def act(path: Path) -> None:
    """Load a policy and use it; a UserError of the policy itself contains no path."""
    policy = load_policy(path)
    repr(policy)
    with contextlib.suppress(UserError):  # the keys may have changed
        policy({"a": np.zeros(2), "b": np.zeros(1)})
    try:
        unit = policy.unit_action(np.zeros((1, policy.observation_size), np.float32))
        action = policy.spaces.action.from_unit(unit[0])
    except UserError as error:
        assert "overflow" in str(error)  # noqa: PT017
        return
    assert (action >= policy.action_low).all()
    assert (action <= policy.action_high).all()


def checkpoint(path: Path) -> None:
    run = RunDirectory.open(path)
    loaded = run.checkpoints.load()
    for segment in loaded.segments:
        run.checkpoints.read_segment(segment)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "policy/policy.json": act,
    "policy/policy.npz": act,
    "config.json": RunDirectory.open,
    "checkpoints/env_steps_000000000020/manifest.json": checkpoint,
    "checkpoints/env_steps_000000000020/learner.npz": checkpoint,
    "replay/segment_000000000020_000000000030.npz": checkpoint,
    "evaluations.csv": read_evaluations,
    "training.csv": read_training,
}
"""File of a run -> its reader, a function of the run directory."""


def seal(run: Path) -> None:
    """Recompute all checksums of files that still parse, as an attacker would."""
    try:
        policy = parse_json((run / "policy/policy.json").read_bytes())
        policy["sha256"] = digest_of(run / "policy/policy.npz").sha256
        (run / "policy/policy.json").write_bytes(dump(policy))
    except (ValueError, TypeError, AttributeError):
        pass
    for manifest in run.glob("checkpoints/*/manifest.json"):
        try:
            content = parse_json(manifest.read_bytes())
            for entries, folder in ((content["files"], manifest.parent), (content["segments"], run / "replay")):
                for name in entries:
                    digest = digest_of(folder / name)
                    entries[name] = {"sha256": digest.sha256, "size": digest.size}
            content.pop("sha256")
            manifest.write_bytes(dump({**content, "sha256": manifest_checksum(content)}))
        except (ValueError, TypeError, AttributeError, KeyError, OSError):
            pass


def test_undamaged_run_loads(run: RunDirectory) -> None:
    for load in LOADERS.values():
        assert not is_rejected(lambda load=load: load(run.path), run.path)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    seal(run.path)
    assert not is_rejected(lambda: checkpoint(run.path), run.path)
    assert not is_rejected(lambda: act(run.path), run.path)
    assert {path for path in before if path.suffix == ".npz"} <= set(run.path.rglob("*"))


@pytest.mark.parametrize(
    ("name", "sealed"),
    [(name, sealed) for name in LOADERS for sealed in ([False, True] if "/" in name else [False])],
)
def test_damaged_files_load_or_are_rejected(run: RunDirectory, name: str, sealed: bool) -> None:
    file, rejected = run.path / name, 0
    originals = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for content in damaged(originals[file], seed=7, cases=30):
        file.write_bytes(content)
        if sealed:
            seal(run.path)
        rejected += is_rejected(lambda: LOADERS[name](run.path), run.path)
        for path, original in originals.items():
            path.write_bytes(original)
    # The previous checkpoint replaces a damaged one, and most changes of digits in a CSV file are valid.
    assert rejected > (12 if "policy" in name else 4 if name.endswith(".json") and "/" not in name else -1)


@pytest.mark.parametrize("name", LOADERS)
def test_truncated_files_load_or_are_rejected(run: RunDirectory, name: str) -> None:
    file = run.path / name
    original = file.read_bytes()
    shutil.rmtree(run.path / "checkpoints/env_steps_000000000010")  # it would be loaded instead
    rejected = 0
    lengths = range(0, len(original) - 1, max(1, len(original) // 60))
    for length in lengths:
        file.write_bytes(original[:length])
        rejected += is_rejected(lambda: LOADERS[name](run.path), run.path)
    # Complete rows of a truncated log are valid.
    assert rejected == len(lengths) or name.endswith(".csv")
    assert rejected > 0


@pytest.mark.parametrize("case", MALFORMED_JSON)
@pytest.mark.parametrize("name", [name for name in LOADERS if name.endswith(".json")])
def test_malformed_json_is_rejected(run: RunDirectory, name: str, case: str) -> None:
    shutil.rmtree(run.path / "checkpoints/env_steps_000000000010")
    (run.path / name).write_bytes(MALFORMED_JSON[case])
    rejected = is_rejected(lambda: LOADERS[name](run.path), run.path)
    valid = ("a wide integer", "half a surrogate pair") if name == "config.json" else ()
    assert rejected or case in (*valid, "a long name")


@pytest.mark.parametrize("place", [("task",), ("algorithm", "name")])
def test_terminal_escapes_in_names_are_rejected(tmp_path: Path, place: tuple[str, ...]) -> None:
    config: dict[str, Any] = {"format": 1, "task": "t", "algorithm": {"name": "a"}}
    node = config
    for key in place[:-1]:
        node = node[key]
    for name, rejected in (("own task:make", False), ("\x1b[2J", True), ("a\nb", True), ("\u202egnp.exe", True)):
        node[place[-1]] = name
        (tmp_path / "config.json").write_bytes(dump(config))
        assert is_rejected(lambda: RunDirectory.open(tmp_path), tmp_path) == rejected


@pytest.mark.parametrize("case", MALFORMED_NPZ)
@pytest.mark.parametrize("name", [name for name in LOADERS if name.endswith(".npz")])
def test_malformed_arrays_with_valid_checksums_are_rejected(run: RunDirectory, name: str, case: str) -> None:
    shutil.rmtree(run.path / "checkpoints/env_steps_000000000010")
    (run.path / name).write_bytes(MALFORMED_NPZ[case])
    seal(run.path)
    harmless = {"no entries on a huge axis", "a name with parent folders", "an absolute name", "many members"}
    rejected = is_rejected(lambda: LOADERS[name](run.path), run.path)
    assert rejected or (case in harmless and "policy" not in name)


@pytest.mark.parametrize("name", [name for name in LOADERS if name.endswith(".json")])
def test_invalid_values_in_json_are_rejected(run: RunDirectory, name: str) -> None:
    file = run.path / name
    original = json.loads(file.read_bytes())
    for values in sample(other_values(original), seed=1, most=50):
        file.write_bytes(dump(values))
        if "manifest" in name:
            seal(run.path)
        is_rejected(lambda: LOADERS[name](run.path), run.path)


@pytest.mark.parametrize("name", LOADERS)
def test_irregular_files_are_rejected(run: RunDirectory, tmp_path: Path, name: str) -> None:
    shutil.rmtree(run.path / "checkpoints/env_steps_000000000010")
    (tmp_path / "secret").write_text("something\nprivate, in cells\n")
    for what in irregular_files(run.path / name, tmp_path / "secret"):
        if not (what == "a huge sparse file" and name.endswith(".csv")):  # a log may have any size
            assert is_rejected(lambda: LOADERS[name](run.path), run.path), what


def test_exchanged_files_of_two_runs_load_or_are_rejected(run: RunDirectory, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", bias=0.25).path
    for name, load in LOADERS.items():
        original = (run.path / name).read_bytes()
        shutil.copy(other / name, run.path / name)
        rejected = is_rejected(lambda load=load: load(run.path), run.path)
        assert rejected == (name in ("policy/policy.npz", "policy/policy.json")) or "checkpoints" in name
        (run.path / name).write_bytes(original)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(content=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_random_bytes_are_rejected(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "config.json").write_bytes(content)
    for name in ("policy.json", "a.npz", "evaluations.csv", "training.csv"):
        (folder / name).write_bytes(content)
    assert is_rejected(lambda: RunDirectory.open(folder), folder)
    assert is_rejected(lambda: load_policy(folder), folder)
    assert is_rejected(lambda: read_arrays(folder / "a.npz"), folder)
    assert is_rejected(lambda: read_evaluations(folder), folder)
    is_rejected(lambda: read_training(folder), folder)


@pytest.mark.parametrize("name", ["evaluations.csv", "training.csv"])
def test_damaged_logs_of_dashboard_are_read_or_rejected(tmp_path: Path, name: str) -> None:
    run = RunDirectory.create(tmp_path / "run", {"task": "t"})
    rows = {
        "evaluations.csv": CsvLog(run.path / "evaluations.csv", EVALUATION_COLUMNS),
        "training.csv": CsvLog(run.path / "training.csv", (*COUNTERS, "critic_loss")),
    }
    for log in rows.values():
        log.append([{key: EVALUATION[key] for key in log.columns if key in EVALUATION}] * 3)
        log.close()

    def follow() -> None:
        assert all(
            seed == "mean" or seed[:5] == "seed_"
            for point in LogFollower(run.path).new_points()
            for seed in point.series
        )

    assert not is_rejected(follow, run.path)
    file, rejected = run.path / name, 0
    original = file.read_bytes()
    for content in damaged(original, seed=5, cases=30):
        file.write_bytes(content)
        rejected += is_rejected(follow, run.path)
    assert rejected > 10
    (tmp_path / "secret").write_text("something\nprivate, in cells\n")
    for what in irregular_files(file, tmp_path / "secret"):
        if what != "a huge sparse file":  # a log may have any size
            assert is_rejected(follow, run.path), what


def test_long_cell_does_not_widen_all_rows(tmp_path: Path) -> None:
    row = "t,a,2,0,10,5,0,0,1.5,10,,,,,0.1\n"
    header = "task,algorithm,utd,seed,env_steps,agent_steps,grad_steps,episode,return,length_env_steps,success_any,"
    header += "success_last,first_success_env_step,score,wall_seconds\n"
    (tmp_path / "evaluations.csv").write_text(header + row * 3000 + "x" * 100_000 + row)
    assert is_rejected(lambda: read_evaluations(tmp_path), tmp_path)
