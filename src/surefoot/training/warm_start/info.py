"""Provenance of a warm start, as config.json stores it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from surefoot.errors import UserError


@dataclass(frozen=True)
class WarmStartInfo:
    """The record of a warm start, as config.json holds it; without arguments, that of a run that begins from nothing.

    Attributes:
        init_from: absolute path of the run whose networks were taken.
        init_task, init_algorithm, init_seeds, init_env_steps: what that run had trained, and for how long.
        init_replay: whether its newest transitions were taken too.
        prefill: the file, folder or dataset id whose transitions were taken.
        prefill_sha256: of that data.
        transitions: in each seed's replay buffer before the first step.
        stretches: unbroken stretches that they form, for the seed with the most.
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
    stretches: int = 0

    def to_data(self) -> dict[str, Any] | None:
        """Return JSON values; None for a run that begins from nothing."""
        if self == COLD_START:
            return None
        return {**dataclasses.asdict(self), "init_seeds": None if self.init_seeds is None else list(self.init_seeds)}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return what ``to_data`` gave.

        Raises:
            UserError: it gave something else.
        """
        if data is None:
            return cls()
        names = {field.name for field in dataclasses.fields(cls)}
        if (
            not isinstance(data, dict)
            or data.keys() != names
            or not all(isinstance(data[name], int) and data[name] >= 0 for name in ("transitions", "stretches"))
            or not isinstance(data["init_seeds"], list | None)
        ):
            raise UserError(
                f"config.json: warm_start is {str(data)[:80]}, expected null or an object with "
                f"{', '.join(sorted(names))}"
            )
        seeds = data["init_seeds"]
        return cls(**{**data, "init_seeds": None if seeds is None else tuple(seeds)})


COLD_START = WarmStartInfo()
"""Fresh networks, an empty replay buffer."""
