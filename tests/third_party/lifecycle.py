"""Check, train, resume, evaluate and film each environment of a list, and play its policy on the bare environment.

Runs in an environment that has the packages of `environments.py` and the wheel, without a test framework. Writes one
line of JSON for each environment: its name, and null or what failed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import imageio.v3
import numpy as np

import surefoot
from surefoot.tasks import episode_seed

EPISODES = 2


def small_algorithm() -> surefoot.Algorithm:
    """Return an algorithm that compiles and trains in seconds."""
    algorithm = surefoot.crossq_wn(utd=1).replace(batch_size=16, warmup_transitions=40)
    parts = {name: dataclasses.replace(getattr(algorithm, name), widths=(16,)) for name in ("actor", "critic")}
    return algorithm.replace(**parts)


def played_returns(run: Path, make: Callable[[], gymnasium.Env[Any, Any]]) -> list[float]:
    """Return the returns of the saved policy on the environment as its package makes it."""
    policy = surefoot.load_policy(run)
    returns = []
    for episode in range(EPISODES):
        env = make()  # as in evaluations, since the goals of some environments do not depend on the seed of `reset`
        observation, _ = env.reset(seed=episode_seed(policy.task, policy.seed, "evaluate", episode))
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(policy(observation))
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
        env.close()
    return returns


def live(name: str, keywords: dict[str, Any], folder: Path) -> None:
    """Take one environment through everything."""
    run = folder / "run"
    report = surefoot.check_env(name, steps=60, env_set=keywords)
    assert report.ok, [finding.observed for finding in report.findings if finding.severity == "error"]
    settings: dict[str, Any] = {"env_set": keywords, "out": run, "evaluation_episodes": 1, "env_workers": 0}
    settings["replay_capacity"] = 120  # of the resumed run as well, which would otherwise compile its updates anew
    trained = surefoot.train(name, algorithm=small_algorithm(), env_steps=80, skip_check=True, **settings)
    assert trained.completed
    assert trained.evaluations()["grad_steps"].max() > 0
    assert surefoot.resume(run, env_steps=120, task=name).completed
    _, evaluated = surefoot.evaluate(run, episodes=EPISODES, env_workers=0, task=name)
    recording = surefoot.record(run, folder / "film.mp4", width=160, height=120, fps=5, task=name)
    frames = imageio.v3.imread(recording.path)
    assert len(np.unique(frames[len(frames) // 2])) > 3, "the film is blank"
    returns = played_returns(run, lambda: make_bare(name, keywords))
    np.testing.assert_allclose(returns, evaluated.returns[0], rtol=1e-5, atol=1e-5)


def make_bare(name: str, keywords: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make an environment without surefoot."""
    module, _, target = name.partition(":")
    if target and (callable_ := getattr(importlib.import_module(module), target, None)) is not None:
        return callable_(**keywords)
    return gymnasium.make(name, **keywords)


def main(environments: list[tuple[str, dict[str, Any]]]) -> None:
    here = Path.cwd()
    for number, (name, keywords) in enumerate(environments):
        folder = here / str(number)
        folder.mkdir()
        begun = time.perf_counter()
        try:
            live(name, keywords, folder)
            failure = None
        except Exception:
            failure = traceback.format_exc()
        print(json.dumps({"name": name, "seconds": time.perf_counter() - begun, "failure": failure}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
