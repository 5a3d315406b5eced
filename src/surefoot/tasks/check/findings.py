"""Findings of an environment check and the report that holds them."""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.tasks.check.kinds import KINDS, Severity


@dataclass(frozen=True)
class Finding:
    """One problem or property found in an environment.

    Attributes:
        code: Stable name of the kind of finding, a key of `KINDS`.
        severity: "error", "warning" or "info".
        title: Short description of the kind.
        observed: Observed value and where it was observed.
        effect: Consequence for training.
        remedy: How to fix it.
    """

    code: str
    severity: Severity
    title: str
    observed: str
    effect: str
    remedy: str


class Findings:
    """Collected findings: one per code, and one per message of Gymnasium's checker."""

    def __init__(self) -> None:
        """Create an empty collection."""
        self._findings: dict[tuple[str, str], Finding] = {}

    def add(self, code: str, observed: str, severity: Severity | None = None) -> None:
        """Add a finding unless its code was added before; `severity` overrides that of the kind."""
        kind, observed = KINDS[code], " ".join(observed.split())
        finding = Finding(code, severity or kind.severity, kind.title, observed, kind.effect, kind.remedy)
        self._findings.setdefault((code, observed if code == "gymnasium" else ""), finding)

    def __contains__(self, code: str) -> bool:
        return any(found == code for found, _ in self._findings)

    @property
    def has_error(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self._findings.values())

    def sorted(self) -> tuple[Finding, ...]:
        """Return the findings by severity, then in the order of `KINDS`."""
        order, codes = ("error", "warning", "info"), list(KINDS)
        found = self._findings.values()
        return tuple(sorted(found, key=lambda f: (order.index(f.severity), codes.index(f.code))))


@dataclass(frozen=True)
class Measurements:
    """Measurements of one copy of the environment under uniform random actions.

    Attributes:
        env_steps: Number of steps taken.
        episode_lengths: Length in env steps of every finished episode.
        terminated: Number of episodes that terminated.
        truncated: Number of episodes that were truncated.
        reward_min: Lowest reward of a step; None if no step succeeded, as for the next three.
        reward_mean: Mean reward of a step.
        reward_max: Highest reward of a step.
        steps_per_second: Speed of `step` alone, on one core.
        reset_seconds: Mean duration of a reset; None if none succeeded.
        bytes_per_copy: Main memory of one additional copy; None where the system does not report it.
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
    """Result of `check_env`.

    Attributes:
        task: Name of the task.
        suite: Suite of the task.
        observation_space: Observation space of the environment, on one line.
        action_space: Action space, likewise.
        horizon: Declared time limit in env steps, or None.
        findings: Findings, the most severe first.
        measurements: Measurements under random actions.
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
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)
