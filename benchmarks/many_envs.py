"""A run with many environments per agent in the compiled program, until its time is up.

    python -m benchmarks.many_envs --minutes 3

By default it is FlashSAC with its settings for GPU simulators (arXiv 2604.04539): 1,024 environments of MuJoCo
Playground's CheetahRun, batches of 2,048, two updates per vector step. It needs the extra playground. The rows of the
run are written as it goes, and ``surefoot resume`` continues it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import surefoot
from benchmarks import run_program
from surefoot.algorithms.presets import get_preset
from surefoot.machine import PRECISIONS
from surefoot.training.callbacks import Callback, StepView, StopTraining


class TimeLimit(Callback):
    """Stops the run some minutes after the start of the program."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60.0 * minutes

    def on_step(self, view: StepView) -> None:
        """Stop where the time is up."""
        if time.monotonic() > self._end:
            raise StopTraining


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="playground/CheetahRun")
    parser.add_argument("--algorithm", default="flashsac")
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--updates", type=int, default=2, help="updates per vector step")
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--warmup", type=int, default=16_384, help="transitions before the first update")
    parser.add_argument("--env-steps", type=int, default=20_000_000)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--out", type=Path, default=Path(".bench/many_envs"))
    args = parser.parse_args(arguments)
    limit = TimeLimit(args.minutes)
    algorithm = get_preset(
        args.algorithm,
        utd=Fraction(args.updates, args.num_envs),
        batch_size=args.batch_size,
        warmup_transitions=args.warmup,
    )
    every = max(args.num_envs, args.env_steps // 20)
    run = surefoot.train(
        args.task,
        engine="jax",
        algorithm=algorithm,
        num_envs=args.num_envs,
        env_steps=args.env_steps,
        evaluate_every=every,
        log_every=max(args.num_envs, every // 20),
        diagnose_every=0,
        checkpoint_every=args.env_steps,
        evaluation_episodes=4,
        replay_capacity=min(args.env_steps, 1_000_000),
        precision=args.precision,
        callbacks=[limit],
        out=args.out,
        overwrite=True,
    )
    rows = run.training()
    learning = rows["grad_steps"] > 0
    # The first row with updates includes the start of the loop.
    env_rate, grad_rate = (
        statistics.median(rows[f"{what}_steps_per_second"][learning][1:].tolist() or [0.0]) for what in ("env", "grad")
    )
    print(f"{args.num_envs} environments: {env_rate:,.0f} env steps/s, {grad_rate:,.0f} updates/s")
    evaluations = run.evaluations()
    last = evaluations["env_steps"] == evaluations["env_steps"].max()
    print(f"return {evaluations['return'][last].mean():.1f} at env step {int(evaluations['env_steps'].max()):,}")


if __name__ == "__main__":
    run_program(main)
