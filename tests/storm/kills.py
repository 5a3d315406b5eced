"""Runs killed with SIGKILL at random moments in every phase, resumed, and compared with the uninterrupted run.

``python -m tests.storm.kills --count 200``. Most processes are killed at a random call of a given phase, the others
after a random time; one trial in twenty uses new interpreters instead of forked processes.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

from tests.storm.comparison import differences
from tests.storm.moments import PHASES, choose
from tests.storm.processes import Job, Victim, Warm, kill_self
from tests.storm.references import References
from tests.storm.trials import Trial, parse, references_folder, run_trials

WEIGHTS = {"sac": 14, "crossq-wn": 2, "overlap": 2, "workers": 1}
"""How often each variant is chosen; the first takes the least time."""

AGAIN = 0.35
"""Probability that a resumed run is killed as well."""
TIMED = 0.25
"""Share of kills after a random time."""

ROOT = Path(__file__).parents[2]


class Kills:
    """Trials of killed runs.

    Args:
        folder: Where the uninterrupted runs are made.
    """

    def __init__(self, folder: Path) -> None:
        self._warm = Warm(folder / "output.log")
        self._references = References(folder, self._warm)

    def close(self) -> None:
        """End the long-lived process."""
        self._warm.close()

    def run(self, trial: Trial) -> None:
        """Kill a run once or more often, resume it, and compare."""
        variant = trial.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        trial.events.append(variant)
        expected, out = self._references.path(variant), trial.folder / "run"
        if trial.number % 20 == 19:
            self._kill_interpreters(trial, variant, out)
        else:
            self._kill_forks(trial, variant, out)
        if not trial.problems:
            trial.problems += differences(expected, out)

    def _kill_forks(self, trial: Trial, variant: str, out: Path) -> None:
        announced = trial.folder / "announced"
        for phase in self._phases(trial):
            if not self._kill(trial, variant, out, phase, announced):
                break
        outcome = self._warm.run(Job(variant, out))
        trial.events.append(f"resumed at {outcome.start}")
        trial.problems += outcome.problems() + self._references.unexpected(variant, outcome)
        steps = max((int(line) for line in announced.read_text().split()), default=0) if announced.exists() else 0
        if not outcome.completed:
            trial.problems.append(f"not resumed: {outcome.error}")
        elif outcome.start is None or outcome.start < steps:
            trial.problems.append(f"lost: the checkpoint at {steps} was announced")

    def _phases(self, trial: Trial) -> list[str]:
        """Return the phases of successive kills."""
        first = PHASES[trial.number % len(PHASES)]
        phases = [first] if first != "restore" else [trial.random.choice(("updates", "evaluation")), first]
        while trial.random.random() < AGAIN:
            phases.append(trial.random.choice(PHASES))
        return phases

    def _kill(self, trial: Trial, variant: str, out: Path, phase: str, announced: Path) -> bool:
        """Start or resume the run in a process that is killed; return whether it was, and had not finished before."""
        moment = choose(trial.random, self._references.counts(variant), phase)
        seconds = trial.random.uniform(0.0, 6.0) if trial.random.random() < TIMED and phase != "restore" else None
        job = Job(variant, out, moment if seconds is None else None, (kill_self, ()), announced)
        outcome = Victim(job, trial.folder / "output.log").wait(seconds)
        if outcome is None:
            trial.events.append(
                f"{phase} at {moment.place} no. {moment.number}" if seconds is None else f"{seconds:.2f} s"
            )
            trial.counts["kills"] += 1
            trial.counts["kills at a random time" if seconds is not None else f"kills in {phase}"] += 1
            return True
        trial.events.append("finished before")
        trial.counts["finished before the kill"] += 1
        trial.problems += outcome.problems()
        if not outcome.completed:
            trial.problems.append(f"not completed: {outcome.error}")
        return False

    def _kill_interpreters(self, trial: Trial, variant: str, out: Path) -> None:
        """Start the run in a new interpreter, kill it after a random time, and resume it in others."""
        command = [sys.executable, "-m", "tests.storm.programs", variant, str(out)]
        with (trial.folder / "output.log").open("ab") as output:
            for number in itertools.count():
                process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
                last = number > 0 and trial.random.random() > AGAIN
                try:
                    code = process.wait(None if last else trial.random.uniform(2.0, 14.0))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    trial.events.append("interpreter killed")
                    trial.counts["kills"] += 1
                    trial.counts["kills of an interpreter"] += 1
                else:
                    break
        if code != 0:
            trial.problems.append(f"exit code {code}")


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and return the exit code."""
    options = parse("kills", arguments, count=200)
    kills = Kills(references_folder(options))
    try:
        return run_trials(options, kills.run)
    finally:
        kills.close()


if __name__ == "__main__":
    sys.exit(main())
