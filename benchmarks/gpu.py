"""The measurements of ``make bench-gpu``, within one time limit.

    python -m benchmarks.gpu [--minutes 9] [--out .bench/gpu]

Each part is a program of its own, since XLA reads its flags at the start. Parts come in order of value; one that is not
expected to end in time is left out, and one that has not ended in time is killed. Output and results, in one text and
one JSON file per part, are written as they come. Expected on one H200, start and compilation included:

| part | seconds |
|---|---|
| updates in TF32, 10, 64 and 1 seeds | 85 |
| the same without XLA's command buffers, 10 and 64 seeds | 60 |
| time of an update by operation, 10 seeds | 45 |
| FlashSAC with 1,024 environments (``make setup EXTRA="cuda playground"``) | 130 |
| updates in bf16, 10 and 64 seeds | 60 |
| updates in float32, 10 and 64 seeds, as far as time allows | 150 |

It follows from compilations of 12 to 20 s in TF32 and bf16 and of 39 to 61 s in float32, 8 s per row for the
measurement itself, and 10 s for each start of JAX on a GPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import run_program
from benchmarks.speed import COMPILE_SECONDS
from surefoot.machine import PRECISIONS, Precision
from surefoot.signals import raised_as_interrupts

NO_COMMAND_BUFFERS = "--xla_gpu_enable_command_buffer="
"""XLA launches the kernels of a program as CUDA graphs, its command buffers, unless this list is empty."""

START_SECONDS = 10.0
"""Time of Python's imports and of JAX's start on a GPU."""

_END_SECONDS = 5.0
"""Time of a program's last writes."""

_ENVS_SECONDS = 130.0
_ROUNDS = 3


@dataclass(frozen=True)
class Part:
    """A program to run.

    Attributes:
        name: Name of its files.
        arguments: Arguments of Python, in which ``{minutes}`` stands for the time to measure in.
        needed: Seconds that it is expected to need at least: with less time left it is not started.
        xla_flags: Flags added to XLA_FLAGS.
        longest: Seconds after which it is killed, also with more time left.
    """

    name: str
    arguments: tuple[str, ...]
    needed: float
    xla_flags: str = ""
    longest: float = float("inf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 if one failed, else 0."""
    deadline = time.monotonic()
    parser = argparse.ArgumentParser(description="Measure updates and environments on a GPU.", allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit, start and compilation included")
    parser.add_argument("--preset", default="crossq-wn")
    parser.add_argument("--num-seeds", nargs="+", type=int, default=[10, 64, 1], metavar="N", help="in order of value")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["tf32", "bf16", "float32"])
    parser.add_argument("--out", type=Path, default=Path(".bench/gpu"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with raised_as_interrupts():
        failed = run(
            parts(args.preset, args.num_seeds, args.precisions, args.out), deadline + 60 * args.minutes, args.out
        )
    return 1 if failed else 0


def parts(preset: str, num_seeds: Sequence[int], precisions: Sequence[Precision], out: Path) -> list[Part]:
    """Return the parts in order of value.

    Args:
        preset: Algorithm whose update is measured.
        num_seeds: Numbers of seeds in order of value, the first two of which are measured in every part.
        precisions: Precisions in order of value, the first of which is measured in every part.
        out: Folder of the JSON files.
    """
    first, *others = precisions

    def updates(name: str, precision: Precision, seeds: Sequence[int], xla_flags: str = "") -> Part:
        sizes = ("--num-seeds", *map(str, seeds), "--presets", preset, "--precisions", precision, "--utd", "2")
        limits = ("--rounds", str(_ROUNDS), "--minutes", "{minutes}", "--out", str(out / f"{name}.json"))
        needed = START_SECONDS + COMPILE_SECONDS["gpu"][precision] + 2.0 * (_ROUNDS + 1)
        return Part(name, ("-m", "benchmarks.speed", *sizes, *limits), needed, xla_flags)

    profile = ("-m", "benchmarks.profile_update", first, "2", str(num_seeds[0]))
    envs = ("-m", "benchmarks.many_envs", "--precision", first, "--minutes", "{minutes}", "--out", str(out / "run"))
    return [
        updates(first, first, num_seeds),
        updates(f"{first}-no-command-buffers", first, num_seeds[:2], NO_COMMAND_BUFFERS),
        Part("profile", profile, START_SECONDS + COMPILE_SECONDS["gpu"][first] + 15.0),
        Part("many-envs", envs, 0.75 * _ENVS_SECONDS, longest=_ENVS_SECONDS),
        *(updates(precision, precision, num_seeds[:2]) for precision in others),
    ]


def run(parts: Sequence[Part], deadline: float, out: Path) -> list[str]:
    """Run the parts one after the other, print their output and write it to files; return the names of failed ones.

    Args:
        parts: Parts in their order.
        deadline: Time of ``time.monotonic`` by which all have ended.
        out: Existing folder of the text files.
    """
    failed = []
    for part in parts:
        left = deadline - time.monotonic()
        if left < part.needed:
            print(f"\n{part.name}: left out, {left:.0f} s left of {part.needed:.0f}", flush=True)
            continue
        print(f"\n{part.name}, {left:.0f} s left", flush=True)
        if (code := _run_part(part, left, out / f"{part.name}.txt")) != 0:
            print(f"{part.name}: {'killed at the time limit' if code is None else f'exit code {code}'}", flush=True)
            failed.append(part.name)
    return failed


def _run_part(part: Part, left: float, log: Path) -> int | None:
    """Run a part in its time, or in what is left in seconds; return its exit code, None if the time was over."""
    limit = min(left, part.longest)
    minutes = max(0.0, limit - START_SECONDS - _END_SECONDS) / 60
    arguments = [argument.replace("{minutes}", f"{minutes:.2f}") for argument in part.arguments]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {part.xla_flags}".strip()
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout, log.open("w", encoding="utf-8") as file:
            for line in process.stdout:
                print(line, end="", flush=True)
                file.write(line)
                file.flush()
        code = process.wait()
        return code if timer.is_alive() else None
    finally:
        timer.cancel()
        process.kill()
        process.wait()


if __name__ == "__main__":
    run_program(main)
