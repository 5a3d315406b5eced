"""Entry point of the command line.

Exit codes: 0 done; 1 a failure while running, or a problem found by ``doctor`` or ``check-env``; 2 an invalid request;
130 interrupted. Expected failures are one line on stderr; a bug keeps its traceback.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from surefoot.signals import INTERRUPTED, exit_at_interrupts, raised_as_interrupts

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
        arguments: Command line after the program's name; None reads this process's own, and the process is expected to
            end with the command.

    Returns:
        The exit code.
    """
    if arguments is None:
        exit_at_interrupts()
    from surefoot.streams import ProtectedStreams, protect  # after that: Ctrl-C may come at any moment

    if arguments is None:
        protect()
        return _main(sys.argv[1:], _without_collection())
    with ProtectedStreams():
        return _main(arguments, contextlib.nullcontext())


def _main(arguments: Sequence[str], importing: AbstractContextManager[None]) -> int:
    from surefoot.errors import RunFailure, UserError, full_installation
    from surefoot.streams import OutputFailure, show_error, stdout

    try:
        try:
            with full_installation("the command line"):
                return _run(_joined(arguments), importing)
        finally:
            if stdout() is not None:
                stdout().flush()  # fails here rather than at the interpreter's exit
    except (UserError, RunFailure) as error:
        show_error(error)
        return 2 if isinstance(error, UserError) else 1
    except OutputFailure as failure:
        if not failure.closed:
            show_error(failure)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Sequence[str], importing: AbstractContextManager[None]) -> int:
    from importlib import import_module

    from surefoot.streams import emit, separate_third_party_output

    if list(arguments) == ["--version"]:
        from surefoot import __version__

        emit(f"surefoot {__version__}")
        return 0
    from surefoot.cli.parse import parse

    with importing:
        command = parse(COMMANDS, arguments)
        for module in getattr(command, "imports", ()):
            with contextlib.suppress(Exception):  # the command imports it again and reports the failure
                import_module(module)
    separate_third_party_output()
    with raised_as_interrupts():
        code: int = command.run()
    return code


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Pause garbage collection, and leave what is created meanwhile out of later collections.

    Going through JAX's modules, which are never freed, takes a fifth of the time to import them.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _joined(given: Sequence[str]) -> Sequence[str]:
    """Return ``bench status DIR`` as ``bench-status DIR``; no shipped grid has the name of a command."""
    joined = "-".join(given[:2])
    return [joined, *given[2:]] if list(given[:1]) == ["bench"] and joined in COMMANDS else given
