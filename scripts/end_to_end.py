"""What environment, replay, logging, evaluation and checkpoints cost over the bare update, for docs/performance.md.

    .venv/bin/python scripts/end_to_end.py [task] [plain|overlap] [windows]

Windows of 100 agent steps of a run at UTD 2 and of 100 times its bare updates take turns, because shared machines
change their speed within seconds. A run evaluates one episode and makes a checkpoint every 4,000 env steps. With
overlap it evaluates at its ends only, since an evaluation beside training would go on in the bare windows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import surefoot
from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.updates import Bench
from surefoot.tasks import get_task
from surefoot.types import EnvSpec

_WINDOW = 100
_WARMUP = 300
_UTD = 2


class TakeTurns(surefoot.Callback):
    """Stops the clock of the run after every window and measures one of the bare updates."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._began = bench, 0.0
        self.run: list[float] = []
        self.bare: list[float] = []

    def on_step(self, view: surefoot.StepView) -> None:
        """Take a turn where one is due."""
        learned = view.agent_steps - _WARMUP - _WINDOW // 2  # What compiles has compiled by then.
        if learned < 0 or learned % _WINDOW:
            return
        now = time.perf_counter()
        if self.bare:
            self.run.append(now - self._began)
        self._bench.update(_WINDOW)
        self._began = time.perf_counter()
        self.bare.append(self._began - now)


def main(name: str = "dog-run", mode: str = "plain", windows: str = "20") -> None:
    """Print one line."""
    task, overlap, algorithm = get_task(name), mode == "overlap", crossq_wn(utd=_UTD)
    assert task.observation_size is not None
    assert task.action_size is not None
    spec, first = EnvSpec(task.observation_size, task.action_size), np.zeros((1, task.observation_size), np.float32)
    bench = Bench(algorithm, spec, task.discount, first, "float32", 10_000)
    bench.update(10)
    turns = TakeTurns(bench)
    agent_steps = _WARMUP + _WINDOW // 2 + _WINDOW * int(windows)
    with tempfile.TemporaryDirectory() as folder:
        surefoot.train(
            name,
            algorithm=algorithm.replace(warmup_transitions=_WARMUP),
            env_steps=agent_steps * task.action_repeat + 2,
            evaluate_every=10**9 if overlap else 4_000,
            evaluation_episodes=1,
            checkpoint_every=4_000,
            diagnose_every=0,
            overlap=overlap,
            callbacks=[turns],
            out=Path(folder) / "run",
        )
    run, bare = np.array(turns.run), np.array(turns.bare)
    bare = (bare[:-1] + bare[1:]) / 2.0  # Before and after each window of the run.
    done = _UTD * _WINDOW * len(run)
    print(
        f"{name}, {mode}, {len(run)} windows: bare {done / bare.sum():.1f} updates/s, "
        f"end to end {done / run.sum():.1f}: {1.0 - bare.sum() / run.sum():.1%} less"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
