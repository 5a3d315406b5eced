"""Moments of a run: the calls that its own code makes, counted by phase.

Between two calls of the code that reads and writes files there is at most one change on the disk, so every state that
a killed process can leave behind comes after one of these calls, except for partial writes.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

from surefoot.model_card.card import write_model_card
from surefoot.runs.directory import RunDirectory
from surefoot.training.checkpointing.writer import CheckpointWriter
from surefoot.training.loop import TrainingLoop

PHASES = ("start", "warm-up", "updates", "evaluation", "logs", "checkpoint", "restore", "finish")

_STEP = TrainingLoop._vector_step.__qualname__

_FUNCTIONS = {
    function.__qualname__: phase
    for function, phase in (
        (TrainingLoop.start, "start"),
        (RunDirectory.create, "start"),
        (TrainingLoop.restore, "restore"),
        (TrainingLoop._evaluate, "evaluation"),
        (TrainingLoop._log, "logs"),
        (TrainingLoop._checkpoint, "checkpoint"),
        (CheckpointWriter.save, "checkpoint"),
        (TrainingLoop._finish, "finish"),
        (write_model_card, "finish"),
    )
}
"""The innermost of these functions on the stack names the phase."""

_COMPILED = ("algorithms", "networks", "replay", "diagnostics")
"""Packages that only describe programs for XLA and touch no file."""

_TOOL = 4


class Moment(NamedTuple):
    """One call of a run."""

    phase: str
    place: str
    """File, line, function and offset of the call."""
    number: int
    """How often this place was reached in the phase, this call included."""


def choose(random: Random, counts: Mapping[tuple[str, str], int], phase: str) -> Moment:
    """Choose a call of a phase: each place is as likely as any other, however often it is reached.

    Args:
        random: Generator.
        counts: Calls by phase and place, of a run that nothing interrupted.
        phase: Phase.
    """
    places = sorted(place for which, place in counts if which == phase)
    place = random.choice(places)
    last = counts[phase, place]
    # What nothing repairs later happens the last time.
    return Moment(phase, place, last if random.random() < 0.25 else random.randint(1, last))


class Moments:
    """Counts calls by phase and place, in a ``with`` block, and calls ``act`` once, right before a chosen one.

    Args:
        moment: The chosen call; None for none.
        act: What happens there; it interrupts only the thread that makes the call.

    Attributes:
        counts: Calls so far, by phase and place.
        acted: Whether the chosen call was reached.
    """

    def __init__(self, moment: Moment | None, act: Callable[[], None]) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.acted = False
        self._moment, self._act = moment, act
        self._places: dict[tuple[CodeType, int], str] = {}
        self._finishing = False
        self._lock = threading.Lock()

    def __enter__(self) -> Moments:
        monitoring = sys.monitoring
        monitoring.use_tool_id(_TOOL, "moments")
        monitoring.register_callback(_TOOL, monitoring.events.CALL, self._called)
        for code in _own_code():
            monitoring.set_local_events(_TOOL, code, monitoring.events.CALL)
        return self

    def __exit__(self, *_: object) -> None:
        for code in _own_code():
            sys.monitoring.set_local_events(_TOOL, code, sys.monitoring.events.NO_EVENTS)
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.CALL, None)
        sys.monitoring.free_tool_id(_TOOL)

    def _called(self, code: CodeType, offset: int, *_: object) -> None:
        if (place := self._places.get((code, offset))) is None:
            line = next(itertools.islice(code.co_positions(), offset // 2, None))[0]
            place = self._places[code, offset] = f"{Path(code.co_filename).stem}:{line} {code.co_name}+{offset}"
        key = (self._phase_of(sys._getframe(1)), place)
        with self._lock:
            self.counts[key] += 1
            now = not self.acted and self._moment == Moment(*key, self.counts[key])
            self.acted |= now
        if now:
            self._act()

    def _phase_of(self, frame: FrameType | None) -> str:
        while frame is not None:
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            if name == _STEP:
                loop = frame.f_locals["self"]
                return "updates" if loop._host.agent_steps >= loop._plan.warmup_steps else "warm-up"
            if (phase := _FUNCTIONS.get(name)) is not None:
                self._finishing |= phase == "finish"
                return phase
            frame = frame.f_back
        return "finish" if self._finishing else "start"


def _own_code() -> Iterator[CodeType]:
    """Yield the code objects of loaded modules of the library, and of the standard library's removal of folders."""
    seen: set[int] = set()
    for name, module in sorted(sys.modules.items()):
        own = name.startswith("surefoot.") and name.split(".")[1] not in _COMPILED
        if own or module is shutil:
            yield from _code_of_module(module, seen)


def _code_of_module(module: ModuleType, seen: set[int]) -> Iterator[CodeType]:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        members: list[Any] = [value, *vars(value).values()] if isinstance(value, type) else [value]
        for member in members:
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            code = getattr(getattr(member, "__wrapped__", member), "__code__", None)
            if isinstance(code, CodeType):
                yield from _nested(code, seen)


def _nested(code: CodeType, seen: set[int]) -> Iterator[CodeType]:
    if id(code) in seen:
        return
    seen.add(id(code))
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant, seen)
