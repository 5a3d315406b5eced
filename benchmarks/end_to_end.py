"""Cost of environment, replay, logging, evaluation and checkpoints over the bare training step.

    python -m benchmarks.end_to_end [task] [--overlap] [--windows N]

Windows of 100 agent steps of a run at UTD 2 alternate with 100 bare training steps, because the speed of shared
machines changes within seconds. The run evaluates one episode and writes a checkpoint every 4,000 env steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import surefoot
from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.train_step import TrainStep
from surefoot.tasks import get_task
from surefoot.training.callbacks import StepView
from surefoot.types import EnvSpec

_WINDOW = 100
_WARMUP = 300
_UTD = 2


class Alternate(surefoot.Callback):
    """Stops the run's clock after every window and times a window of bare training steps."""

    def __init__(self, step: TrainStep) -> None:
        self._step, self._start = step, 0.0
        self.run: list[float] = []
        self.bare: list[float] = []

    def on_step(self, view: StepView) -> None:
        """Time a window of bare steps at the end of each window of the run."""
        learned = view.agent_steps - _WARMUP - _WINDOW // 2  # the first half window compiles
        if learned < 0 or learned % _WINDOW:
            return
        now = time.perf_counter()
        if self.bare:
            self.run.append(now - self._start)
        self._step.run(_WINDOW)
        self._start = time.perf_counter()
        self.bare.append(self._start - now)


def main(name: str, overlap: bool, windows: int) -> None:
    """Print one line of results."""
    task, algorithm = get_task(name), crossq_wn(utd=_UTD)
    assert task.observation_size is not None
    assert task.action_size is not None
    step = TrainStep(algorithm, EnvSpec(task.observation_size, task.action_size))
    step.run(10)
    alternate = Alternate(step)
    agent_steps = _WARMUP + _WINDOW // 2 + _WINDOW * windows
    with tempfile.TemporaryDirectory() as folder:
        surefoot.train(
            name,
            algorithm=algorithm.replace(warmup_transitions=_WARMUP),
            env_steps=agent_steps * task.action_repeat + 2,
            evaluate_every=4_000,
            evaluation_episodes=1,
            checkpoint_every=4_000,
            diagnose_every=0,
            overlap=overlap,
            callbacks=[alternate],
            out=Path(folder) / "run",
        )
    run, bare = np.array(alternate.run), np.array(alternate.bare)
    bare = (bare[:-1] + bare[1:]) / 2.0  # before and after each window of the run
    updates = _UTD * _WINDOW * len(run)
    print(
        f"{name}{', overlap' if overlap else ''}, {len(run)} windows: bare {updates / bare.sum():.1f} updates/s, "
        f"end to end {updates / run.sum():.1f}: {1.0 - bare.sum() / run.sum():.1%} less"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Measure the cost of environment, replay and files over the bare training step.", allow_abbrev=False
    )
    parser.add_argument("task", nargs="?", default="dog-run", help="task name (default: dog-run)")
    parser.add_argument("--overlap", action="store_true", help="overlap environment steps with updates")
    parser.add_argument("--windows", type=int, default=20, metavar="N", help="windows of 100 agent steps (default: 20)")
    given = parser.parse_args()
    main(given.task, given.overlap, given.windows)
