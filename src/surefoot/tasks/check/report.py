"""What a check hands back."""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.tasks.check.findings import Finding, Severity
from surefoot.tasks.check.kinds import KINDS


@dataclass(frozen=True)
class Measurements:
    """Numbers of one copy of the environment under uniform random actions.

    Attributes:
        env_steps: steps taken.
        episode_lengths: env steps of every episode that ended.
        terminated: how many of them ended in a terminal state.
        truncated: how many were cut off.
        reward_min: the lowest reward of a step; None where no step could be taken, as below.
        reward_mean: the mean reward of a step.
        reward_max: the highest reward of a step.
        steps_per_second: of `step` alone, on one core.
        reset_seconds: the mean duration of a reset.
        bytes_per_copy: main memory that one more copy takes; None where the system does not tell.
    """

    env_steps: int = 0
    episode_lengths: tuple[int, ...] = ()
    terminated: int = 0
    truncated: int = 0
    reward_min: float | None = None
    reward_mean: float | None = None
    reward_max: float | None = None
    steps_per_second: float | None = None
    reset_seconds: float | None = None
    bytes_per_copy: int | None = None


@dataclass(frozen=True)
class CheckReport:
    """What `check_env` found.

    Attributes:
        task: the task's name.
        suite: where it comes from.
        observation_space: as the environment prints it, or the suite's own size.
        action_space: likewise.
        horizon: env steps after which an episode is cut off, as far as that is declared.
        findings: the worst first.
        measurements: numbers under random actions.
    """

    task: str
    suite: str
    observation_space: str
    action_space: str
    horizon: int | None
    findings: tuple[Finding, ...]
    measurements: Measurements

    @property
    def ok(self) -> bool:
        """Whether training would be right: no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)


class Notes:
    """Findings as they come in, the first of each kind."""

    def __init__(self) -> None:
        """Begin with none."""
        self._findings: dict[str, Finding] = {}

    def add(self, code: str, seen: str, severity: Severity | None = None) -> None:
        """Note what was seen; `severity` replaces the catalogue's. A kind that is already noted stays as it was."""
        kind = KINDS[code]
        if code not in self._findings:
            self._findings[code] = Finding(
                code, severity or kind.severity, kind.title, " ".join(seen.split()), kind.effect, kind.remedy
            )

    def __contains__(self, code: str) -> bool:
        return code in self._findings

    def sorted(self) -> tuple[Finding, ...]:
        """Return the findings, the worst first, otherwise in the order of the catalogue."""
        order, codes = ("error", "warning", "info"), list(KINDS)
        return tuple(
            sorted(
                self._findings.values(),
                key=lambda finding: (order.index(finding.severity), codes.index(finding.code)),
            )
        )
