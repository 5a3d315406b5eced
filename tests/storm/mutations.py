"""Random mutations of the inputs of all loaders and of command lines: a valid result, or one clear line.

    python -m tests.storm.mutations --count 10000 --seed 0

Nothing else may be raised, no file outside of the mutated folder may change, and time and memory are limited. A case
is determined by the seed and its number: ``--first NUMBER --count 1`` repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.algorithms.part_text import with_settings
from surefoot.algorithms.presets import find_preset, get_preset, list_presets
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.status import GridReader
from surefoot.cli.bench_tables import status_lines
from surefoot.cli.main import COMMANDS
from surefoot.cli.parse import parse
from surefoot.cli.watch import plain_lines
from surefoot.dashboards import LogFollower
from surefoot.errors import RunFailure, UserError
from surefoot.model_card import write_model_card
from surefoot.report.labels import label_runs
from surefoot.report.report import Settings
from surefoot.report.runs import load_runs
from surefoot.report.views import make_views
from surefoot.runs import RunDirectory, read_diagnostics, read_evaluations, read_training
from surefoot.runs.layout import check_free
from surefoot.runs.progress import RunsReader
from surefoot.tasks import get_task
from surefoot.training.config import TrainConfig, settings
from surefoot.training.warm_start.dataset_files import read_dataset
from surefoot.video.policies import checkpoint_policies
from tests.fuzzing.malformed import BYTES_PER_FILE_BYTE, INVALID_VALUES, rejection
from tests.fuzzing.test_untrusted_runs import act, checkpoint
from tests.storm.inputs import Folder, files_outside, make_inputs, make_trained_inputs, text_mutation

_REPORT_EVERY = 100
_MOST_BYTES = 64 << 20
"""Memory that any case may use, in addition to a multiple of the size of its files."""


@dataclass(frozen=True)
class FileCase:
    """A loader of files.

    Attributes:
        folder: Name of the folder with valid files.
        patterns: Files that are mutated.
        load: Function of the folder.
        weight: Relative number of cases.
    """

    folder: str
    patterns: tuple[str, ...]
    load: Callable[[Path], Any]
    weight: float = 1.0


def watch(path: Path) -> None:
    """Show a run as ``surefoot watch --once`` does."""
    lines = plain_lines(RunsReader([path.parent]).read(), None, "_-")
    assert all(line.isprintable() for line in lines), "a line cannot be printed"


def report(path: Path) -> None:
    """Compute everything that a report shows."""
    left_out: list[str] = []
    make_views(label_runs(load_runs([path], left_out.append)), Settings(resamples=5))
    assert all(line.isprintable() for line in left_out), "a line cannot be printed"


def bench_status(path: Path) -> None:
    """Show a grid as ``surefoot bench status --once`` does."""
    reader = GridReader(GridFolder.open(path))
    assert all(line.isprintable() for line, _ in status_lines(reader.read(), problem=reader.problem))


def plan_of_run(path: Path) -> None:
    """Read the configuration that a run is resumed with."""
    from surefoot.training.config_file import read_run

    read_run(RunDirectory.open(path), None, {})


def source_of_run(path: Path) -> None:
    """Read a run that another one starts from."""
    from surefoot.training.warm_start.init_from import SourceRun

    source = SourceRun.open(path)
    source.check(source.algorithm, len(source.seeds))
    source.experience(1000)


def saved_agent(path: Path) -> None:
    """Open a saved agent."""
    from surefoot.agent.files import load_agent

    load_agent(path)


def grid(path: Path) -> None:
    """Read a grid, and make and open its directory."""
    loaded = load_grid(str(path / "grid.toml"))
    made = GridFolder.create(path / "made", loaded)
    assert GridFolder.open(made.path).cells == loaded.cells


CHECKPOINT = ("checkpoints/*/*", "replay/*")
FILE_CASES: dict[str, FileCase] = {
    "config": FileCase("run", ("config.json",), RunDirectory.open),
    "evaluations": FileCase("scored", ("evaluations.csv",), read_evaluations),
    "training log": FileCase("run", ("training.csv",), read_training, 0.5),
    "diagnostics": FileCase("scored", ("diagnostics.csv",), read_diagnostics, 0.5),
    "watch": FileCase("scored", ("*.json", "*.csv"), watch, 1.5),
    "report": FileCase("scored", ("config.json", "*.csv"), report, 1.0),
    "model card": FileCase("scored", ("config.json", "*.csv", "policy/*"), write_model_card),
    "dashboards": FileCase("scored", ("*.csv",), lambda path: LogFollower(path).new_points()),
    "policy": FileCase("scored", ("policy/*",), act, 1.5),
    "checkpoint": FileCase("run", CHECKPOINT, checkpoint, 1.5),
    "dataset": FileCase("data", ("*.npz",), lambda path: [read_dataset(file) for file in path.glob("*")], 1.5),
    "grid": FileCase("grids", ("grid.toml",), grid, 1.5),
    "bench status": FileCase("bench", ("bench.json", "attempts.csv", "logs/*"), bench_status),
    "plan of a run": FileCase("trained", ("config.json",), plan_of_run),
    "source of a run": FileCase("trained", ("config.json", *CHECKPOINT), source_of_run),
    "checkpoint policies": FileCase(
        "trained",
        ("config.json", "policy/*", *CHECKPOINT),
        lambda path: checkpoint_policies(RunDirectory.open(path), (0,)),
    ),
    "agent": FileCase("agent", CHECKPOINT, saved_agent),
}


class Mutations:
    """All kinds of cases.

    Args:
        root: Empty folder, the working directory of all cases.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for name in ("grids", "outside"):
            (root / name).mkdir()
        (root / "outside" / "secret").write_text("something\nprivate, in cells\n")
        make_inputs(root)
        make_trained_inputs(root)
        names = {case.folder for case in FILE_CASES.values()}
        self._folders = {name: Folder(root / name, root / "outside" / "secret") for name in sorted(names)}
        self._settings = [
            (preset.name, path, value if isinstance(value, str) else repr(value))
            for preset in list_presets()
            for path, value, _ in find_preset(preset.name).values()
        ]
        self._kinds = {
            **{name: case.weight for name, case in FILE_CASES.items()},
            "setting": 3.0,
            "command line": 4.0,
        }
        self._check_valid_inputs()

    def _check_valid_inputs(self) -> None:
        """Load every input once, which also imports and compiles what the cases then share."""
        for case in FILE_CASES.values():
            case.load(self._root / case.folder)
            self._folders[case.folder].restore()
        for arguments in COMMAND_LINES:
            _use_command(arguments, self._root)
        for preset, path, value in self._settings:
            with contextlib.suppress(UserError):  # some values are names that are not settable
                with_settings(get_preset(preset), [(path, value)])

    def run(self, generator: random.Random) -> tuple[str, str, str | None]:
        """Run one case; return its kind, what was mutated, and the message if the input was rejected.

        Raises:
            CaseError: Anything else was raised, or a file outside changed.
        """
        (kind,) = generator.choices(list(self._kinds), list(self._kinds.values()))
        if kind in FILE_CASES:
            return kind, *self._run_files(FILE_CASES[kind], kind, generator)
        make = self._setting if kind == "setting" else self._command
        what, call = make(generator)
        return kind, what, self._checked(kind, what, call, None, _MOST_BYTES)

    def _run_files(self, case: FileCase, kind: str, generator: random.Random) -> tuple[str, str | None]:
        folder = self._folders[case.folder]
        what = folder.mutate(case.patterns, generator)
        try:
            most = _MOST_BYTES + BYTES_PER_FILE_BYTE * folder.bytes
            return what, self._checked(kind, what, lambda: case.load(folder.path), folder.path, most)
        finally:
            folder.restore()

    def _checked(
        self, kind: str, what: str, call: Callable[[], Any], inside: Path | None, most_bytes: int
    ) -> str | None:
        before = files_outside(self._root, inside)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                message = rejection(call, most_bytes, (UserError, RunFailure))
        except (Exception, SystemExit) as error:
            raise CaseError(kind, what, "".join(traceback.format_exception(error)[-4:])) from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise CaseError(kind, what, repr(error)) from error
        if (after := files_outside(self._root, inside)) != before:
            changed = [str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
            raise CaseError(kind, what, f"files outside changed: {changed}")
        return message

    def _setting(self, generator: random.Random) -> tuple[str, Callable[[], Any]]:
        preset, path, value = generator.choice(self._settings)
        mutated = text_mutation(f"{path}={value}", generator, lambda: generator.choice(self._settings)[2])
        name, _, text = mutated.partition("=")
        return f"{preset} {mutated[:300]!r}", lambda: with_settings(get_preset(preset), [(name.strip(), text.strip())])

    def _command(self, generator: random.Random) -> tuple[str, Callable[[], Any]]:
        arguments = list(generator.choice(COMMAND_LINES))
        for _ in range(generator.choice((1, 1, 2, 3))):
            _mutate_arguments(arguments, generator)
        return f"{arguments!r:.300}", lambda: _use_command(arguments, self._root)


class CaseError(Exception):
    """A case with another result than a valid one or one clear line."""

    def __init__(self, kind: str, what: str, found: str) -> None:
        super().__init__(f"{kind}: {what}: {found}")
        self.kind, self.what, self.found = kind, what, found


COMMAND_LINES = [
    ["train", "probe-action", "--algorithm", "sac", "--utd", "2", "--env-steps", "1_000_000", "--out", "new"],
    ["train", "cheetah-run", "--num-seeds", "5", "--seed", "3", "--set", "temperature.initial=0.05", "--overwrite"],
    ["train", "probe-action", "--precision", "auto", "--dashboard", "tensorboard", "--replay-capacity", "20000"],
    ["train", "probe-action", "--set", "critic=MLP((256, 256), BatchNorm())", "--set", "discount=0.9"],
    ["train", "probe-action", "--init-from", "scored", "--init-replay", "--evaluate-every", "1000"],
    ["train", "probe-action", "--prefill", "data/plain.npz", "--env-workers", "0", "--curvature"],
    ["resume", "run", "--env-steps", "2000", "--task", "probe-action", "--diagnose-every", "0"],
    ["evaluate", "run", "--episodes", "2", "--json"],
    ["export", "run", "--seed", "1", "-o", "model.onnx"],
    ["card", "run", "--out", "card.md"],
    ["sync", "run", "--to", "tensorboard", "wandb"],
    ["record", "run", "-o", "video.mp4", "--seeds", "0", "1", "--fps", "25", "--width", "640", "--camera", "free"],
    ["check-env", "probe-action", "--steps", "100", "--seed", "1", "--json"],
    ["watch", "scored", "run", "--once"],
    ["report", "scored", "run", "-o", "report", "--interval", "90", "--resamples", "10", "--seed", "2"],
    ["bench", "quick", "--out", "bench", "--retries", "2", "--max-parallel", "1", "--dry-run"],
    ["bench", "grids/grid.toml", "--launcher", "ray", "--address", "10.0.0.1:6379"],
    ["bench-status", "bench", "--once"],
    ["algorithms", "sac", "--json"],
    ["tasks", "--json"],
    ["doctor", "--json"],
]


def _mutate_arguments(arguments: list[str], generator: random.Random) -> None:
    """Change a command line in place."""
    at = generator.randrange(len(arguments)) if arguments else 0
    match generator.randrange(8):
        case 0 if arguments:
            del arguments[at]
        case 1 if arguments:
            arguments.insert(at, arguments[at])
        case 2:
            arguments.insert(at, generator.choice(generator.choice(COMMAND_LINES)))
        case 3 if arguments:
            arguments[at] = str(generator.choice(INVALID_VALUES))
        case 4 if len(arguments) > 1:
            arguments[at - 1], arguments[at] = arguments[at], arguments[at - 1]
        case _ if arguments:
            arguments[at] = text_mutation(
                arguments[at], generator, lambda: generator.choice(generator.choice(COMMAND_LINES))
            )


def _use_command(arguments: list[str], root: Path) -> None:
    """Parse a command line and validate its values, as far as that neither trains nor writes."""
    try:
        command = parse(COMMANDS, arguments)
    except SystemExit as stop:
        if stop.code:
            raise AssertionError(f"exit code {stop.code}") from stop
        return  # after --help
    match type(command).__name__:
        case "Train":
            options = {setting.name: getattr(command, setting.name) for setting in settings()}
            config = TrainConfig(task=command.task, algorithm=command.make_algorithm(), **options)
            if config.out is not None:
                check_free(config.out.absolute(), config.overwrite)
            if ":" not in command.task:  # code
                get_task(command.task)
        case "Resume" | "Evaluate" | "Export" | "Sync" | "Record" | "Card":
            RunDirectory.open(command.path)
        case "Watch":
            # Mutated paths may lead anywhere, and a search of the whole file system takes long.
            if all(str(path) in ("scored", "scored/", str(root / "scored")) for path in command.path):
                RunsReader(command.path).read()
        case "Report":
            Settings(command.interval / 100, command.resamples, command.seed)
        case "Bench":
            load_grid(command.grid)
        case "BenchStatus":
            bench_status(command.path)
        case "Algorithms":
            if command.name is not None:  # listing all takes seconds: their parameters are counted
                command.run()


class Summary:
    """Counts of the cases so far, written to a file as JSON."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path, self._seed = path, seed
        self._begin = time.monotonic()
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.failures: list[dict[str, Any]] = []

    @property
    def cases(self) -> int:
        """Number of cases."""
        return self.accepted.total() + self.rejected.total() + len(self.failures)

    def line(self) -> str:
        """Return the counts in one line."""
        seconds = time.monotonic() - self._begin
        return (
            f"{self.cases:,} cases in {seconds:.0f} s: {self.accepted.total():,} valid, "
            f"{self.rejected.total():,} rejected in one line, {len(self.failures)} failures"
        )

    def write(self) -> None:
        """Replace the file."""
        counts = {
            kind: {"valid": self.accepted[kind], "rejected": self.rejected[kind]}
            for kind in sorted(self.accepted | self.rejected)
        }
        content = {"seed": self._seed, "summary": self.line(), "kinds": counts, "failures": self.failures}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self._path)


def run(options: argparse.Namespace) -> Summary:
    """Run the cases in a temporary folder and return their counts."""
    summary = Summary(options.log.absolute(), options.seed)
    deadline = time.monotonic() + 60 * (options.minutes or float("inf"))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.realpath(folder))
        os.chdir(root)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                mutations = Mutations(root)
            for number in range(options.first, options.first + options.count):
                if time.monotonic() > deadline:
                    break
                try:
                    kind, _, message = mutations.run(random.Random(f"{options.seed}-{number}"))
                    (summary.accepted if message is None else summary.rejected)[kind] += 1
                except CaseError as error:
                    summary.failures.append({"number": number, **vars(error)})
                    print(f"case {number}: {error}", file=sys.stderr, flush=True)
                if summary.cases % _REPORT_EVERY == 0:
                    summary.write()
                    print(summary.line(), flush=True)
        finally:
            os.chdir(here)
            summary.write()
    return summary


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options; None reads those of this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm.mutations")
    parser.add_argument("--count", type=int, default=10_000, help="number of cases (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=None, help="start no case after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of all cases (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to repeat one")
    parser.add_argument("--log", type=Path, default=Path(".storm/mutations.json"), help="summary (default %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    finished = run(parse_arguments())
    print(finished.line())
    sys.exit(1 if finished.failures else 0)
