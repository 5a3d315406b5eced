"""Small algorithms, and a program that trains one in another process.

``python -m tests.training.small OUT TASK ENV_STEPS SEEDS [KEY=VALUE ...]`` starts a run, or resumes the one in OUT.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import surefoot
from surefoot.algorithms import Algorithm
from surefoot.networks import MLP


def small(algorithm: Algorithm, width: int = 16, **changes: Any) -> Algorithm:
    """Return the algorithm with narrow networks and a short warm-up."""
    narrow = {
        "actor": dataclasses.replace(algorithm.actor, widths=(width, width)),
        "critic": dataclasses.replace(algorithm.critic, widths=(width, width)),
        "batch_size": 16,
        "warmup_transitions": 100,
    }
    return algorithm.replace(**(narrow | changes))


TWO_SEEDS: dict[str, Any] = {"num_seeds": 2, "replay_capacity": 150}
"""Settings of most runs in tests, with ``small(crossq_wn(utd=2))`` on a probe: equal shapes are compiled once."""


def small_mlp(width: int = 16) -> MLP:
    return MLP((width, width))


def main(arguments: list[str]) -> None:
    out, task, env_steps, seeds, *pairs = arguments
    settings = {key: json.loads(value) for key, value in (pair.split("=") for pair in pairs)}
    if (Path(out) / "config.json").exists():
        surefoot.resume(out)
        return
    surefoot.train(
        task,
        algorithm=small(surefoot.crossq_wn(utd=2)),
        env_steps=int(env_steps),
        num_seeds=int(seeds),
        out=Path(out),
        evaluation_episodes=1,
        **settings,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
