"""Speed benchmarks of the training step; run them from the repository's root, as ``make bench`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from surefoot.errors import RunFailure, UserError
from surefoot.streams import show_error


def run_program(main: Callable[[], int | None]) -> NoReturn:
    """Run a program and exit with its code; an expected failure is one line on standard error."""
    try:
        sys.exit(main())
    except (UserError, RunFailure) as error:
        show_error(error)
        sys.exit(2 if isinstance(error, UserError) else 1)
