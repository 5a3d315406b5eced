"""How a report's statistics are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surefoot.report.statistics import Aggregate, Estimate, Scores, estimate_all


@dataclass(frozen=True)
class Settings:
    """How statistics are made.

    Attributes:
        confidence: of intervals, 0.95 or 0.9.
        resamples: of the bootstrap.
        seed: of its generator.
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def generator(self) -> np.random.Generator:
        """Return a fresh one: equal scores give equal intervals, whatever was asked before."""
        return np.random.default_rng(self.seed)

    def estimate_all(self, scores: Scores, aggregates: Mapping[str, Aggregate]) -> dict[str, Estimate]:
        """Return aggregates with their intervals."""
        return estimate_all(scores, aggregates, self.generator(), self.confidence, self.resamples)
