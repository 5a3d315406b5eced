"""Trials of a stress test: arguments, log and summary."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Trial:
    """One trial.

    Attributes:
        number: Number of the trial, from 0.
        seed: Seed of the trial.
        folder: Empty folder for its files, kept if something is wrong.
        events: What happened, in order, as it is logged.
        problems: One line for everything that was lost, different or unclear.
        counts: What the summary adds up.
        random: Generator of everything that is random in it.
    """

    number: int
    seed: str
    folder: Path
    events: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)


def parse(
    name: str, arguments: list[str] | None, count: int, minutes: float | None = None, **more: dict[str, object]
) -> argparse.Namespace:
    """Parse the arguments that all stress tests have in common.

    Args:
        name: Name of the stress test.
        arguments: Arguments; None for those of the process.
        count: Default number of trials.
        minutes: Default limit of time; None for none.
        **more: Further options, as keyword arguments of ``add_argument``.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.storm.{name}")
    parser.add_argument("--count", type=int, default=count, help="number of trials (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=minutes, help="start no trial after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of all trials (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial, to repeat one")
    parser.add_argument("--log", type=Path, default=Path(".storm") / f"{name}.log", help="log (default %(default)s)")
    for option, settings in more.items():
        parser.add_argument(f"--{option}", **settings)  # type: ignore[arg-type]
    return parser.parse_args(arguments)


def references_folder(options: argparse.Namespace) -> Path:
    """Return a new folder next to the log for what all trials compare with."""
    folder: Path = options.log.absolute().with_name(f"{options.log.stem}-reference")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run_trials(options: argparse.Namespace, run: Callable[[Trial], None], folder: Path | None = None) -> int:
    """Run the trials, write one line for each to the log, and return the exit code: 1 if anything was wrong.

    Args:
        options: Result of ``parse``.
        run: Runs a trial; an exception counts as a problem.
        folder: Where trials have their folders; None for a temporary folder.
    """
    begin, done, wrong, counts = time.monotonic(), 0, 0, Counter[str]()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    with options.log.open("a") as log, _base(folder) as base:

        def say(line: str) -> None:
            print(line, flush=True)
            print(line, file=log, flush=True)

        say(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {options.log.stem}, seed {options.seed}")
        for number in range(options.first, options.first + options.count):
            if options.minutes is not None and time.monotonic() - begin > 60 * options.minutes:
                break
            trial = Trial(number, f"{options.seed}-{number}", base / f"trial-{number}")
            trial.folder.mkdir(parents=True)
            since = time.monotonic()
            try:
                run(trial)
            except KeyboardInterrupt:
                say("# stopped")
                break
            except Exception as error:
                trial.problems.append(f"the trial failed: {error!r}")
            result = "; ".join(trial.problems) or "ok"
            say(f"{number:5d} {time.monotonic() - since:6.1f} s  {'; '.join(trial.events)}: {result}")
            done, wrong, counts = done + 1, wrong + bool(trial.problems), counts + trial.counts
            if trial.problems:
                kept = options.log.parent / f"{options.log.stem}-{options.seed}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(trial.folder, kept, symlinks=True)
                say(f"      kept in {kept}; repeat with --seed {options.seed} --first {number} --count 1")
            shutil.rmtree(trial.folder, ignore_errors=True)
        details = ", ".join(f"{name} {value}" for name, value in sorted(counts.items()))
        minutes = (time.monotonic() - begin) / 60
        say(f"# {done} trials in {minutes:.1f} minutes, {wrong} with problems: {details}")
    return 1 if wrong or not done else 0


@contextlib.contextmanager
def _base(folder: Path | None) -> Iterator[Path]:
    """Yield the folder for the trials: the given one, or a temporary one that is removed."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as made:
        yield Path(made)
