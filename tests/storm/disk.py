"""Full disks, damaged checkpoints, and two processes on one run; each run must end like the uninterrupted one.

``python -m tests.storm.disk --count 200`` runs 200 trials of each kind; ``--kinds full`` selects some.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.storm.comparison import differences
from tests.storm.moments import PHASES, Moment, choose
from tests.storm.processes import Job, Outcome, Victim, Warm, kill_self
from tests.storm.references import References
from tests.storm.trials import Trial, parse, references_folder, run_trials

KINDS = ("full", "damaged", "two")

WEIGHTS = {"sac": 14, "crossq-wn": 3, "overlap": 2}
BASES = 8
"""Killed runs whose checkpoints are damaged, or that two processes resume; made when they are needed."""

_TMPFS = "size=4m,nr_inodes=300"
"""Holds a run many times over, and is filled in an instant."""


class Disk:
    """Trials on a small disk.

    Args:
        folder: Where the uninterrupted runs are made.
        disk: Root of the small disk.
        kinds: Kinds of trials.
    """

    def __init__(self, folder: Path, disk: Path, kinds: tuple[str, ...]) -> None:
        self._folder, self._disk, self._kinds = folder, disk, kinds
        self._warm = [Warm(folder / f"output-{number}.log") for number in range(2)]
        self._references = References(folder, self._warm[0])
        self._bases: dict[tuple[str, int], Path] = {}

    def close(self) -> None:
        """End the long-lived processes."""
        for warm in self._warm:
            warm.close()

    def run(self, trial: Trial) -> None:
        """Run a trial of one kind."""
        kind = self._kinds[trial.number % len(self._kinds)]
        variant = trial.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        trial.events += [kind, variant]
        self._references.path(variant)
        {"full": self._full, "damaged": self._damaged, "two": self._two}[kind](trial, variant)
        trial.counts[kind] += 1

    # ---------------------------------------------------------------- a full disk

    def _full(self, trial: Trial, variant: str) -> None:
        """Fill the disk at a random moment, free it when the run has failed, and resume."""
        out, filler = self._disk / f"run-{trial.number}", self._disk / "filler"
        try:
            while True:
                phase = trial.random.choice([phase for phase in PHASES if phase != "restore" or out.exists()])
                moment = choose(trial.random, self._references.counts(variant), phase)
                what = trial.random.choice(("bytes", "bytes", "files"))
                left = trial.random.choice((0, 0, trial.random.randrange(1, 100_000)))
                act = (fill, (filler, what, left if what == "bytes" else left // 10_000))
                self._fail(trial, Job(variant, out, moment, act))
                if trial.random.random() < 0.3:
                    self._fail(trial, Job(variant, out))  # still full
                shutil.rmtree(filler, ignore_errors=True)
                if trial.random.random() < 0.6:
                    break
            self._complete(trial, variant, out)
            shutil.copytree(out, trial.folder / "run")
        finally:
            shutil.rmtree(filler, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)

    def _fail(self, trial: Trial, job: Job) -> None:
        """Run a job that may complete, or fail with one line."""
        outcome = self._warm[0].run(job)
        moment = f" in {job.moment.phase} at {job.moment.place}" if job.moment is not None else ""
        trial.problems += outcome.problems()
        if outcome.error is not None:
            trial.events.append(f"full{moment}: {outcome.error}")
            trial.counts["runs stopped by a full disk"] += 1
        else:
            trial.events.append(f"full{moment}: completed")

    def _complete(self, trial: Trial, variant: str, out: Path, damaged: bool = False) -> None:
        """Resume a run, which must complete and equal the uninterrupted one."""
        outcome = self._warm[0].run(Job(variant, out))
        trial.events.append(f"resumed at {outcome.start}")
        trial.problems += outcome.problems()
        if not outcome.completed:
            trial.problems.append(f"not resumed: {outcome.error}")
            return
        if not damaged:
            trial.problems += self._references.unexpected(variant, outcome)
        trial.problems += differences(self._references.path(variant), out, damaged)

    # ---------------------------------------------------------------- damaged checkpoints

    def _damaged(self, trial: Trial, variant: str) -> None:
        """Damage files of the checkpoints of a killed run; it must end like the uninterrupted one, or be refused."""
        base = self._base(trial.random, variant)
        out, intact = trial.folder / "run", trial.folder / "intact"
        shutil.copytree(base, out)
        shutil.copytree(base, intact)
        files = [file for file in _files(out) if file.relative_to(out).parts[0] in ("checkpoints", "replay", "policy")]
        for file in trial.random.sample(files, min(len(files), trial.random.choice((1, 1, 2, 4, len(files))))):
            trial.events.append(f"{file.relative_to(out)} {damage(trial.random, file)}")
        before = content(out)
        outcome = self._warm[0].run(Job(variant, out))
        trial.problems += outcome.problems()
        skipped = sum("checkpoint" in line or "env_steps_" in line for line in outcome.messages)
        if outcome.completed:
            trial.events.append(f"resumed at {outcome.start} after skipping {skipped}")
            trial.counts["resumed from an older checkpoint" if skipped else "not affected by the damage"] += 1
            trial.problems += differences(self._references.path(variant), out, damaged=True)
            return
        trial.events.append(f"refused: {outcome.error}")
        trial.counts["refused"] += 1
        if content(out) != before:
            trial.problems.append("a refused run was changed")
        # Intact copies of its files make the refused run usable again.
        for file in files:
            shutil.copyfile(intact / file.relative_to(out), file)
        self._complete(trial, variant, out)

    def _base(self, random: Random, variant: str) -> Path:
        """Return a killed run with at least one checkpoint, or a finished one."""
        number = random.randrange(BASES + 1)
        if number == BASES:
            return self._references.path(variant)
        if (variant, number) not in self._bases:
            own = Random(f"{variant} {number}")
            out = self._folder / "bases" / f"{variant}-{number}"
            out.parent.mkdir(exist_ok=True)
            moment = Moment("", "", 0)
            while moment.phase not in ("updates", "evaluation", "logs", "checkpoint", "finish"):
                phase = own.choice(PHASES)
                moment = choose(own, self._references.counts(variant), phase)
            Victim(Job(variant, out, moment, (kill_self, ())), self._folder / "output-bases.log").wait()
            self._bases[variant, number] = out
        return self._bases[variant, number]

    # ---------------------------------------------------------------- two processes

    def _two(self, trial: Trial, variant: str) -> None:
        """Start or resume one run in two processes at the same moment; one trains, the other is refused."""
        out = trial.folder / "run"
        if trial.random.random() < 0.6:
            shutil.copytree(self._base(trial.random, variant), out)
        while True:
            start = time.monotonic() + 0.05
            lag = trial.random.choice((0.0, 0.0, trial.random.uniform(0.0, 0.02), trial.random.uniform(0.0, 1.0)))
            for warm, delay in zip(self._warm, trial.random.sample((0.0, lag), 2), strict=True):
                warm.start(Job(variant, out, at=start + delay))
            outcomes = [warm.wait() for warm in self._warm]
            for outcome in outcomes:
                trial.problems += outcome.problems()
                trial.events.append("completed" if outcome.completed else f"refused: {outcome.error}")
            if trial.problems or any(outcome.completed for outcome in outcomes):
                break
            trial.counts["both refused"] += 1
            if not all(_says_why(outcome) for outcome in outcomes):
                trial.problems.append("both were refused, and one does not say why")
        trial.counts["one refused"] += sum(outcome.completed for outcome in outcomes) == 1
        trial.problems += differences(self._references.path(variant), out)


def _says_why(outcome: Outcome) -> bool:
    reasons = ("in use by process", "already holds a run", "changed by another process")
    return any(reason in str(outcome.error) for reason in reasons)


def fill(filler: Path, what: str, left: int) -> None:
    """Fill a disk, except for some bytes or files.

    Args:
        filler: New folder on the disk.
        what: "bytes", or "files" for as many empty files as the disk can hold.
        left: Bytes or files that are left free.
    """
    with contextlib.suppress(OSError):
        filler.mkdir()
        reserve = filler / "reserve"
        if what == "files":
            spare = [filler / f"spare-{number}" for number in range(left)]
            for number in range(100_000):
                (spare[number] if number < left else filler / str(number)).touch()
        else:
            reserve.write_bytes(bytes(left))
            descriptor = os.open(filler / "filler", os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                size = 1 << 16
                while size:
                    try:
                        os.write(descriptor, bytes(size))
                    except OSError:
                        size //= 2
            finally:
                os.close(descriptor)
    for file in (filler / "reserve", *filler.glob("spare-*")):
        file.unlink(missing_ok=True)


def damage(random: Random, file: Path) -> str:
    """Damage a file in one of the ways that disks and transfers do; return what was done."""
    data = bytearray(file.read_bytes())
    kind = random.choice(("cut", "cut", "bit", "bit", "bit", "bits", "zeros", "longer", "missing"))
    where = random.randrange(max(1, len(data)))
    if kind == "missing" or not data:
        file.unlink()
        return "is missing"
    if kind == "cut":
        del data[where:]
    elif kind == "longer":
        data += random.randbytes(random.randint(1, 1000))
    elif kind == "zeros":
        data[where : where + 4096] = bytes(len(data[where : where + 4096]))
    else:
        for _ in range(1 if kind == "bit" else random.randint(2, 20)):
            at = where if kind == "bit" else random.randrange(len(data))
            data[at] ^= 1 << random.randrange(8)
    file.write_bytes(bytes(data))
    return f"{kind} at {where}"


def content(run: Path) -> dict[Path, bytes]:
    """Return the content of all files of a run except its lock."""
    return {file: file.read_bytes() for file in _files(run) if file.name != ".lock"}


def _files(run: Path) -> list[Path]:
    """Return the files of a run, without those that a killed process had not finished."""
    unfinished = (".tmp-", ".old-")
    return sorted(
        file
        for file in run.rglob("*")
        if file.is_file() and not any(part.startswith(unfinished) for part in file.relative_to(run).parts)
    )


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """Yield a folder with a disk of its own, or None where it cannot be mounted.

    Only this process and its children see the disk, so the kernel removes it with them.
    """
    with tempfile.TemporaryDirectory(prefix="storm-disk-", ignore_cleanup_errors=True) as folder:
        try:
            os.unshare(os.CLONE_NEWNS)
            subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", _TMPFS, "storm", folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            yield None
        else:
            yield Path(folder)
            subprocess.run(["umount", "--lazy", folder], check=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and return the exit code."""
    options = parse("disk", arguments, count=200, kinds={"nargs": "+", "choices": KINDS, "default": KINDS})
    kinds = tuple(options.kinds)
    with small_disk() as folder:
        if folder is None and "full" in kinds:
            print("no trials with a full disk: mounting a tmpfs needs root (unshare -rm python -m tests.storm.disk)")
            kinds = tuple(kind for kind in kinds if kind != "full")
        disk = Disk(references_folder(options), folder or Path(), kinds)
        options.count *= len(kinds)
        try:
            return run_trials(options, disk.run)
        finally:
            disk.close()


if __name__ == "__main__":
    sys.exit(main())
