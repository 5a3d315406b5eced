"""Untrusted checkpoints with valid checksums: loading gives a state or a UserError.

Tests the loaders of the training loop and of agents, which use sizes, positions and counts from arrays and manifest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import surefoot
from surefoot.errors import UserError
from surefoot.runs import RunDirectory
from surefoot.runs.arrays import read_arrays, write_arrays
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.config_file import read_run
from surefoot.training.events import Observer
from surefoot.training.loop import TrainingLoop
from tests.fuzzing.malformed import dump, is_rejected, other_values, sample
from tests.fuzzing.test_untrusted_runs import seal
from tests.training.small import small

Arrays = dict[str, np.ndarray]

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "twice as many rows": lambda array: np.concatenate([np.atleast_1d(array)] * 2),
    "empty": lambda array: array.reshape(-1)[:0],
    "a scalar": lambda array: np.zeros((), array.dtype),
    "one more axis": lambda array: array[None],
    "another type": lambda array: np.zeros(array.shape, np.float16 if array.dtype.kind in "iu" else np.int64),
    "huge": lambda array: np.full_like(array, np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1),
    "large": lambda array: np.full_like(array, 2**40 if array.dtype == np.int64 else 1),
    "negative": lambda array: np.full_like(array, -1 if array.dtype.kind in "if" else 1),
    "not finite": lambda array: np.full_like(array, np.nan if array.dtype.kind == "f" else 0),
    "a huge empty axis": lambda array: np.zeros((0, 2**40), array.dtype),
}


def array_files(folder: Path) -> list[Path]:
    return [*sorted(folder.glob("checkpoints/*/*.npz")), *sorted(folder.glob("replay/*.npz"))]


@contextlib.contextmanager
def changed_array(folder: Path, path: Path, name: str, change: str) -> Iterator[None]:
    """Change or remove an array of one file of a checkpoint, and restore it on exit."""
    described = [path, *folder.glob("checkpoints/*/manifest.json"), folder / "policy/policy.json"]
    originals = {file: file.read_bytes() for file in described}
    arrays = read_arrays(path)
    value = arrays.pop(name)
    if change != "removed":
        arrays[name] = CHANGES[change](value)
    with path.open("wb") as stream:
        write_arrays(stream, arrays)
    seal(folder)
    yield
    for file, content in originals.items():
        file.write_bytes(content)


def changed_arrays(folder: Path, seed: int, most: int) -> Iterator[str]:
    """Change or remove one array of a checkpoint at a time; yield a description and restore it."""
    cases = [
        (path, name, change)
        for path in array_files(folder)
        for name in read_arrays(path)
        for change in (*CHANGES, "removed")
    ]
    for path, name, change in sample(iter(cases), seed, most):
        with changed_array(folder, path, name, change):
            yield f"{path.name} {name}: {change}"


def changed_meta(folder: Path, seed: int, most: int) -> Iterator[str]:
    """Change one value of the manifest's meta at a time; yield the result and restore it."""
    manifest = next(folder.glob("checkpoints/*/manifest.json"))
    original = manifest.read_bytes()
    content = json.loads(original)
    for meta in sample(other_values(content["meta"]), seed, most):
        manifest.write_bytes(dump({**content, "meta": meta}))
        seal(folder)
        yield str(meta)[:500]
    manifest.write_bytes(original)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Return a run of two seeds with one checkpoint, and a function that restores it."""
    out = tmp_path_factory.mktemp("trained") / "run"
    settings: dict[str, Any] = {"env_steps": 110, "evaluate_every": 110, "checkpoint_every": 110, "num_seeds": 2}
    algorithm = small(surefoot.sac(utd=1), width=8)
    surefoot.train("probe-discount", algorithm=algorithm, evaluation_episodes=1, env_workers=0, out=out, **settings)
    directory = RunDirectory.open(out)
    for folder in sorted(out.glob("checkpoints/*"))[:-1]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    config, task, plan = read_run(directory, None, {})
    logs = {path: path.read_bytes() for path in out.glob("*.csv")}
    with directory.lock(), TrainingLoop.make(config, plan, task, EventDispatcher(Observer(), ())) as loop:
        initial = loop._init()

        def restore() -> None:
            loop._open_writer(directory)
            try:
                loop._writer.restore(lambda: initial, lambda line: None)
            finally:
                loop._writer.close()
                for path, content in logs.items():
                    path.write_bytes(content)

        yield out, restore


INVALID: dict[str, dict[str, str]] = {
    "loop.npz": {
        "episode": "negative",
        "observation": "another type",
        "action": "one more axis",
        "interval_return": "a scalar",
        "last_return": "twice as many rows",
        "episode_lengths": "removed",
    },
    "segment": {
        "frames": "empty",
        "rewards": "another type",
        "frame_count": "negative",
        "first_frame": "large",
        "stop": "huge",
        "frame_of": "removed",
    },
    "replay_counters.npz": {"oldest": "negative"},
}
"""Changes by array, for each file of a checkpoint."""


def test_invalid_arrays_of_run_are_rejected(trained: tuple[Path, Callable[[], None]]) -> None:
    folder, restore = trained
    assert not is_rejected(restore, folder)
    accepted = []
    for file, changes in INVALID.items():
        *_, path = (path for path in array_files(folder) if path.name.startswith(file))
        for name, change in changes.items():
            with changed_array(folder, path, name, change):
                if not is_rejected(restore, folder):
                    accepted.append(f"{file} {name}: {change}")
    assert accepted == []


@pytest.mark.slow
@pytest.mark.parametrize("changed", [changed_arrays, changed_meta], ids=["arrays", "manifest"])
def test_changed_run_is_restored_or_rejected(
    changed: Callable[..., Iterator[str]], trained: tuple[Path, Callable[[], None]]
) -> None:
    folder, restore = trained
    assert not is_rejected(restore, folder)
    rejected = 0
    for what in changed(folder, seed=0, most=24):
        try:
            rejected += is_rejected(restore, folder)
        except Exception as error:
            raise AssertionError(what) from error
    assert rejected > 10


@pytest.mark.slow
def test_changed_config_of_run_resumes_or_is_rejected(trained: tuple[Path, Callable[[], None]]) -> None:
    folder, _ = trained
    file = folder / "config.json"
    original = file.read_bytes()

    def plan() -> None:
        try:
            read_run(RunDirectory.open(folder), None, {})
        except UserError as error:
            raise UserError(f"{folder}: {error}") from error  # these messages need no path

    try:
        for values in sample(other_values(json.loads(original)), seed=0, most=60):
            file.write_bytes(dump(values))
            is_rejected(plan, folder)
    finally:
        file.write_bytes(original)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    box = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    algorithm = small(surefoot.sac(utd=1), width=8, warmup_transitions=8)
    made = surefoot.Agent(box, box, algorithm, replay_capacity=16)
    generator = np.random.default_rng(0)
    for step in range(20):
        observation = generator.uniform(-1, 1, 2).astype(np.float32)
        action = made.act(observation)
        made.observe(observation, action, 0.5, observation, step % 5 == 4, False)
    path = tmp_path_factory.mktemp("agent") / "saved"
    made.save(path)
    return path


@pytest.mark.slow
def test_changed_arrays_or_meta_of_agent_load_or_are_rejected(agent: Path) -> None:
    assert not is_rejected(lambda: surefoot.Agent.load(agent), agent)
    rejected = 0
    for cases in (changed_arrays(agent, seed=0, most=12), changed_meta(agent, seed=0, most=12)):
        for what in cases:
            try:
                rejected += is_rejected(lambda: surefoot.Agent.load(agent), agent)
            except Exception as error:
                raise AssertionError(what) from error
    assert rejected > 10
