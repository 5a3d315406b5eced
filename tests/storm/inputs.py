"""Valid inputs of every loader, in one folder, and their random mutations."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np

import surefoot
from surefoot.benchmark.attempts import Event, append_attempt
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.runs import CsvLog, RunDirectory
from surefoot.runs.csvread import COUNTERS
from tests.benchmark.support import write_grid
from tests.fuzzing.malformed import (
    MALFORMED_JSON,
    MALFORMED_NPZ,
    damaged,
    dump,
    irregular_makers,
    remove,
    with_other_value,
)
from tests.fuzzing.test_untrusted_datasets import TRANSITIONS
from tests.fuzzing.test_untrusted_runs import make_policy, make_run, seal
from tests.report.support import make_run as make_scored_run
from tests.training.small import small

CELLS = ("", "nan", "inf", "-1", "1e400", "9" * 400, "x" * 200_000, '"', "\x00", "a,b", "0x10", "١", "1_0", " 1 ")
"""Contents of CSV cells and TOML values that may be wrong."""


def make_inputs(root: Path) -> None:
    """Write one valid input of every kind below a folder."""
    make_run(root / "run")
    counters = {"agent_steps": 5_000, "grad_steps": 5_000, "wall_seconds": 1.5}
    scored = make_scored_run(root / "scored", diagnostics={"parameters": 10.0, **counters})
    log = CsvLog(scored / "training.csv", (*COUNTERS, "critic_loss"))
    log.append([{"seed": seed, "env_steps": 10_000, "critic_loss": 0.5, **counters} for seed in (0, 1)])
    log.close()
    RunDirectory.open(scored).update_config({"env_steps": 20_000})
    make_policy(scored / "policy")
    folder = GridFolder.create(root / "bench", load_grid(str(write_grid(root / "grids" / "grid.toml"))))
    append_attempt(folder.attempts_path, folder.cells[0].name, Event.STARTED)
    folder.log_path(folder.cells[0].name).write_text("a line\n")
    (root / "data").mkdir()
    np.savez(root / "data" / "plain.npz", **TRANSITIONS)
    np.savez_compressed(root / "data" / "compressed.npz", **TRANSITIONS)


def make_trained_inputs(root: Path) -> None:
    """Train a run and an agent, each a few updates long."""
    algorithm = small(surefoot.sac(utd=1), width=8)
    settings = {"env_steps": 110, "evaluate_every": 110, "checkpoint_every": 110, "evaluation_episodes": 1}
    surefoot.train("probe-discount", algorithm=algorithm, num_seeds=2, env_workers=0, out=root / "trained", **settings)
    box = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    agent = surefoot.Agent(box, box, algorithm.replace(warmup_transitions=8), replay_capacity=16)
    for step in range(20):
        observation = np.full(2, step / 20, np.float32)
        action = agent.act(observation)
        agent.observe(observation, action, 0.5, observation, step % 5 == 4, False)
    agent.save(root / "agent")


class Folder:
    """A folder whose files are mutated, and restored from memory.

    Args:
        path: Folder with valid files.
        outside: File outside of the folder, the target of links.
    """

    def __init__(self, path: Path, outside: Path) -> None:
        self.path = path
        self._outside = outside
        self._contents = {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
        self._folders = {folder for folder in path.rglob("*") if folder.is_dir()}
        self._signatures = {file: _signature(file) for file in self._contents}

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(map(len, self._contents.values()))

    def mutate(self, patterns: tuple[str, ...], generator: random.Random) -> str:
        """Change one file whose path matches; return a description."""
        files = [file for file in self._contents if any(file.match(pattern) for pattern in patterns)]
        file = generator.choice(files)
        name = str(file.relative_to(self.path))
        choice = generator.random()
        if choice < 0.03:
            what, make = generator.choice(list(irregular_makers(file, self._outside).items()))
            remove(file)
            make()
            return f"{name}: {what}"
        if choice < 0.05:
            file.unlink()
            return f"{name}: removed"
        if choice < 0.08:
            other = generator.choice(list(self._contents))
            file.write_bytes(self._contents[other])
            return f"{name}: content of {other.relative_to(self.path)}"
        file.write_bytes(mutated(file.suffix, self._contents[file], generator))
        if generator.random() < 0.5:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                seal(self.path)  # as an attacker would
            return f"{name}: changed, with valid checksums"
        return f"{name}: changed"

    def restore(self) -> None:
        """Undo every change."""
        for path in sorted(self.path.rglob("*"), reverse=True):
            if path not in self._contents and path not in self._folders:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else remove(path)
        for file, content in self._contents.items():
            if _signature(file) != self._signatures[file]:
                if file.is_dir() and not file.is_symlink():
                    shutil.rmtree(file)
                remove(file)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                self._signatures[file] = _signature(file)


def mutated(suffix: str, content: bytes, generator: random.Random) -> bytes:
    """Return a file's content with a mutation that fits its format, or any other."""
    if suffix == ".json" and generator.random() < 0.5:
        if generator.random() < 0.1:
            return generator.choice(list(MALFORMED_JSON.values()))
        return dump(with_other_value(json.loads(content), generator))
    if suffix == ".npz" and generator.random() < 0.1:
        return generator.choice(list(MALFORMED_NPZ.values()))
    if suffix in (".csv", ".toml") and generator.random() < 0.5:
        return other_cell(content.decode(), ",\n" if suffix == ".csv" else " ,=\n[]", generator).encode()
    return next(damaged(content, generator.getrandbits(32), 1))


def other_cell(text: str, separators: str, generator: random.Random) -> str:
    """Return a text in which one part between separators is replaced, removed or exchanged with another one."""
    ends = [-1, *(at for at, letter in enumerate(text) if letter in separators), len(text)]
    at = generator.randrange(len(ends) - 1)
    start, end = ends[at] + 1, ends[at + 1]
    other = generator.randrange(len(ends) - 1)
    new = generator.choice([*CELLS, text[ends[other] + 1 : ends[other + 1]], text[start:end] * 2])
    return text[:start] + new + text[end:]


def files_outside(root: Path, inside: Path | None) -> dict[Path, tuple[int, ...] | None]:
    """Return the signatures of all files below ``root`` and not below ``inside``."""
    return {path: _signature(path) for path in _files(root, inside)}


def _files(root: Path, inside: Path | None) -> Iterator[Path]:
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(where, name) != inside]
        yield from (Path(where, name) for name in names)


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return (stat.S_IFMT(status.st_mode), status.st_ino, status.st_size, status.st_mtime_ns)


def text_mutation(text: str, generator: random.Random, more: Callable[[], str]) -> str:
    """Return a short text such as an option's value with one or two random changes.

    Args:
        text: Valid text.
        generator: Random numbers.
        more: Returns a text that may replace a part or all of it.
    """
    for _ in range(generator.choice((1, 1, 2))):
        start = generator.randrange(len(text) + 1)
        end = min(len(text), start + generator.choice((0, 1, 1, 2, 8)))
        match generator.randrange(7):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + text[start:end] * generator.choice((2, 3, 1000)) + text[end:]
            case 2:
                text = text[:start] + generator.choice("()[]{}.,=-_+*/'\"\\:;#@ \t\n\x00\x1b\udce9é0129eE") + text[end:]
            case 3:
                text = text[:start] + generator.choice(CELLS) + text[end:]
            case 4:
                text = (
                    generator.choice(("(", "[", "MLP(", "-", "not ", "{'a':")) * generator.choice((5, 200, 5000)) + text
                )
            case 5:
                text = text[:start] + more() + text[end:]
            case 6:
                text = more()
    return text
