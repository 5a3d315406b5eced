"""Entry point of the command line.

Exit codes: 0 done; 1 a failure while running, or a problem found by ``doctor`` or ``check-env``; 2 an invalid request;
130 interrupted. Expected failures are one line on stderr; a bug keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from surefoot.cli.parse import parse
from surefoot.errors import RunFailure, UserError

COMMANDS = {
    "train": "surefoot.cli.train:Train",
    "resume": "surefoot.cli.train:Resume",
    "evaluate": "surefoot.cli.evaluate:Evaluate",
    "export": "surefoot.cli.export:Export",
    "card": "surefoot.cli.card:Card",
    "sync": "surefoot.cli.sync:Sync",
    "record": "surefoot.cli.record:Record",
    "check-env": "surefoot.cli.check_env:CheckEnv",
    "tasks": "surefoot.cli.listing:Tasks",
    "algorithms": "surefoot.cli.listing:Algorithms",
    "watch": "surefoot.cli.watch:Watch",
    "report": "surefoot.cli.report:Report",
    "bench": "surefoot.cli.bench:Bench",
    "bench-status": "surefoot.cli.bench:BenchStatus",
    "doctor": "surefoot.cli.doctor:Doctor",
}
"""Module and class of each command, imported when it is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Command line after the program's name; None reads this process's own.

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
        sys.stdout.flush()  # raises BrokenPipeError here rather than at the interpreter's exit
        return code
    except UserError as error:
        return _fail(error, 2)
    except RunFailure as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has closed it (`surefoot tasks | head`). Python would report that again when it
        # flushes stdout at exit, so stdout is redirected to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _joined(given: Sequence[str]) -> Sequence[str]:
    """Return ``bench status DIR`` as ``bench-status DIR``; no shipped grid has the name of a command."""
    joined = "-".join(given[:2])
    return [joined, *given[2:]] if given[:1] == ["bench"] and joined in COMMANDS else given


def _fail(error: Exception, code: int) -> int:
    print(f"surefoot: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code
