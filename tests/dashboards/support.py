"""Run directories written without training, and readers of TensorBoard and W&B output."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from surefoot.runs import EVALUATION_COLUMNS, CsvLog, RunDirectory
from surefoot.training.callbacks import Callback
from surefoot.training.events import EvaluationDone, RunFinished, RunStarted

TRAINING = ("seed", "env_steps", "agent_steps", "grad_steps", "episode_return", "critic_loss", "wall_seconds")
STARTED = "2026-01-31T12:00:00+00:00"
STARTED_SECONDS = 1_769_860_800.0


class FakeRun:
    """A run directory written as by training, with events for a callback; one step takes 0.5 s."""

    def __init__(self, path: Path, seeds: tuple[int, ...] = (3, 4), *, overwrite: bool = False) -> None:
        config = {"task": "cheetah-run", "seeds": list(seeds), "started": STARTED, "command": ["surefoot", "train"]}
        self.directory = RunDirectory.create(path, config, overwrite=overwrite)
        self.path, self.seeds = self.directory.path, seeds
        self._evaluations = CsvLog(self.path / "evaluations.csv", EVALUATION_COLUMNS)
        self._training = CsvLog(self.path / "training.csv", TRAINING)
        self._checkpoint = (0, self._evaluations.offset(), self._training.offset())

    def counts(self, env_steps: int) -> dict[str, Any]:
        return {"env_steps": env_steps, "agent_steps": env_steps // 2, "grad_steps": env_steps, "utd": 2}

    def log(self, env_steps: int, values: dict[int, float]) -> None:
        rows = []
        for seed, value in values.items():
            row = {name: value for name, value in self.counts(env_steps).items() if name in TRAINING}
            rows.append({**row, "seed": seed, "critic_loss": value, "wall_seconds": env_steps / 2})
        self._training.append(rows)

    def evaluate(self, env_steps: int, returns: dict[int, list[float]], success: bool = False) -> EvaluationDone:
        rows: list[dict[str, Any]] = []
        for seed, episodes in returns.items():
            for episode, value in enumerate(episodes):
                row = {"task": "cheetah-run", "algorithm": "crossq-wn", **self.counts(env_steps), "seed": seed}
                row |= {"episode": episode, "return": value, "score": value / 1000, "length_env_steps": 1000}
                row |= {"success_any": True, "success_last": episode == 0} if success else {}
                rows.append({**row, "wall_seconds": env_steps / 2 + 0.25})
        self._evaluations.append(rows)
        return EvaluationDone(env_steps, self.seeds, tuple(0.0 for _ in self.seeds), None, env_steps / 2)

    def checkpoint(self, env_steps: int) -> None:
        self._checkpoint = (env_steps, self._evaluations.offset(), self._training.offset())

    def drop_rows_since_checkpoint(self) -> int:
        """Drop the rows since the checkpoint, as a resume does, and return its env_steps."""
        env_steps, evaluations, training = self._checkpoint
        self._evaluations.truncate(evaluations)
        self._training.truncate(training)
        return env_steps

    def started(self, start_env_steps: int = 0) -> RunStarted:
        return RunStarted(self.path, "cheetah-run", "crossq-wn", 2, self.seeds, 9000, start_env_steps, "CPU", 0, 0)

    def finished(self) -> RunFinished:
        return RunFinished(self.path, 9000, True, 1.0, None, 0.0)

    def run(self, callback: Callback, steps: range, offset: float, *, start: int = 0, kill: bool = False) -> None:
        """Log the steps with events for the callback: returns are env_steps + offset + seed."""
        callback.on_start(self.started(start))
        for env_steps in steps:
            self.log(env_steps, {seed: env_steps + offset + seed for seed in self.seeds})
            returns = {seed: [env_steps + offset + seed, env_steps + offset + seed] for seed in self.seeds}
            callback.on_evaluation(self.evaluate(env_steps, returns))
        if not kill:
            callback.on_finish(self.finished())
            callback.close()


def curve(folder: Path, tag: str = "evaluation/return") -> list[tuple[int, float]]:
    """Return (env_steps, value) of one series from a new reader."""
    return points(EventAccumulator(str(folder)), tag)


def points(reader: EventAccumulator, tag: str = "evaluation/return") -> list[tuple[int, float]]:
    """Return (env_steps, value) of one series from a reader that may have read the folder before."""
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def offline_folders(run: Path) -> list[Path]:
    return sorted((run / "wandb").glob("offline-run-*"))


def records(folder: Path) -> list[Any]:
    """Return the records of W&B's transaction log of a finished run, which ``wandb sync`` uploads.

    W&B's service writes the last one some milliseconds after ``finish`` returns.
    """
    deadline = time.monotonic() + 30
    while not (found := list(_records(folder))) or found[-1].WhichOneof("record_type") != "exit":
        assert time.monotonic() < deadline, f"{folder} does not end with an exit record"
        time.sleep(0.01)
    return found


def _records(folder: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    (file,) = folder.glob("run-*.wandb")
    content = file.read_bytes()
    assert content[:4] == b":W&B"
    position, parts = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:  # no room for a header: the block is padded
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def history(folder: Path) -> list[dict[str, float]]:
    """Return the rows of an offline run in order, without W&B's own columns except ``_step``."""
    rows = []
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append({name: value for name, value in items.items() if name not in ("_runtime", "_timestamp")})
            rows[-1]["_step"] = record.history.step.num
    return rows
