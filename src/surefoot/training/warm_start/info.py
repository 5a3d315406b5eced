"""Provenance of a warm start, as config.json stores it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from surefoot.errors import UserError


@dataclass(frozen=True)
class WarmStartInfo:
    """Provenance of initial networks and transitions; without arguments, that of a cold start.

    Attributes:
        init_from: Absolute path of the run whose networks are used.
        init_task, init_algorithm, init_seeds, init_env_steps: Task, algorithm, seeds and env steps of that run.
        init_replay: Whether its newest transitions are used too.
        prefill: File, folder or dataset id of recorded transitions.
        prefill_sha256: Digest of that data.
        transitions: Transitions in each seed's replay buffers before the first step.
        sequences: Unbroken sequences of those transitions, for the buffer with the most.
    """

    init_from: str | None = None
    init_task: str | None = None
    init_algorithm: str | None = None
    init_seeds: tuple[int, ...] | None = None
    init_env_steps: int | None = None
    init_replay: bool = False
    prefill: str | None = None
    prefill_sha256: str | None = None
    transitions: int = 0
    sequences: int = 0

    def to_data(self) -> dict[str, Any] | None:
        """Return JSON values; None for a cold start."""
        if self == COLD_START:
            return None
        return {**dataclasses.asdict(self), "init_seeds": None if self.init_seeds is None else list(self.init_seeds)}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return the provenance from the output of ``to_data``.

        Raises:
            UserError: The data has another form.
        """
        if data is None:
            return cls()
        names = {field.name for field in dataclasses.fields(cls)}
        if (
            not isinstance(data, dict)
            or data.keys() != names
            or not all(isinstance(data[name], int) and data[name] >= 0 for name in ("transitions", "sequences"))
            or not isinstance(data["init_seeds"], list | None)
        ):
            raise UserError(
                f"config.json: warm_start is {str(data)[:80]}, expected null or an object with "
                f"{', '.join(sorted(names))}"
            )
        seeds = data["init_seeds"]
        return cls(**{**data, "init_seeds": None if seeds is None else tuple(seeds)})


COLD_START = WarmStartInfo()
"""Fresh networks and an empty replay buffer."""
