"""The entry point: arguments to a command, the command's outcome to an exit code.

Exit codes: 0 done; 1 something broke while running, or ``doctor`` or ``check-env`` found a problem; 2 the request
cannot be carried out as asked; 130 interrupted. What is expected to go wrong is one line on stderr; a bug keeps its
traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from surefoot.cli.bench import Bench, BenchSeeds, BenchSpeed, BenchStatus
from surefoot.cli.card import Card
from surefoot.cli.check_env import CheckEnv
from surefoot.cli.doctor import Doctor
from surefoot.cli.evaluate import Evaluate
from surefoot.cli.export import Export
from surefoot.cli.listing import Algorithms, Tasks
from surefoot.cli.parse import parse
from surefoot.cli.record import Record
from surefoot.cli.report import Report
from surefoot.cli.sync import Sync
from surefoot.cli.train import Resume, Train
from surefoot.cli.watch import Watch
from surefoot.errors import RunFailure, UserError

COMMANDS: dict[str, type] = {
    "train": Train,
    "resume": Resume,
    "evaluate": Evaluate,
    "export": Export,
    "card": Card,
    "sync": Sync,
    "record": Record,
    "check-env": CheckEnv,
    "tasks": Tasks,
    "algorithms": Algorithms,
    "watch": Watch,
    "report": Report,
    "bench": Bench,
    "bench-status": BenchStatus,
    "bench-speed": BenchSpeed,
    "bench-seeds": BenchSeeds,
    "doctor": Doctor,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line after the program's name; None reads this process's own.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given == ["--version"]:
            from surefoot import __version__

            print(f"surefoot {__version__}")
            return 0
        code: int = parse(COMMANDS, _joined(given)).run()
        sys.stdout.flush()  # a reader that is gone shows here, inside the try, and not at the interpreter's exit
        return code
    except UserError as error:
        return _fail(error, 2)
    except RunFailure as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has closed it (`surefoot tasks | head`). Python would complain again when it flushes
        # stdout at exit, so stdout goes to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _joined(given: Sequence[str]) -> Sequence[str]:
    """Take ``bench status``, ``bench speed`` and ``bench seeds`` for one word; no shipped grid is called so."""
    joined = "-".join(given[:2])
    return [joined, *given[2:]] if given[:1] == ["bench"] and joined in COMMANDS else given


def _fail(error: Exception, code: int) -> int:
    print(f"surefoot: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
