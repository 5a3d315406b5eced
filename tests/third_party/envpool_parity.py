"""Comparison of EnvPool's environments with the suites' own: `python envpool_parity.py [TASK ...]`.

Prints a JSON object per task. Where both engines start every episode in the same state (MyoSuite's Fixed tasks), equal
actions must give equal numbers. Otherwise every entry of the observation, at the start and after the last action, the
return and the end are compared as distributions over 200 episodes of each engine: a two-sample Kolmogorov-Smirnov test
at a level of 0.001, divided by the number of entries (Bonferroni). It finds a shift by 0.75 standard deviations with a
probability of 0.95 or more, by 0.5 with one of 0.26 (223 entries, the dog) to 0.66 (12 entries), in simulations. Spaces
must be equal, and whole episodes of random actions must end alike: on DM Control all at the time limit, on MyoSuite
with equal distributions of length, termination, success and return over 40 episodes. Whole episodes are compared only
if no difference was found before.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from scipy import stats

from surefoot.tasks import Task, list_tasks, make_vector
from surefoot.tasks.engines import list_pool_tasks, pool_task
from surefoot.tasks.envpool import Pool

EPISODES, SLOTS, DECISIONS, LEVEL = 200, 8, 10, 1e-3
WHOLE = {"dmc": 2, "myosuite": 40}
"""Episodes that are played to their end."""
EXACT = 1e-4
"""Largest difference of equal episodes, relative to the largest entry: MuJoCo builds round differently."""


type Played = dict[str, np.ndarray]
"""First and last observations, returns and ends of episodes, a row each."""


def play_suite(task: Task, actions: np.ndarray, episodes: int) -> Played:
    """Play the first decisions of episodes in the suite's environment."""
    rows: dict[str, list[Any]] = {"first": [], "last": [], "return": [], "ended": []}
    with make_vector(task, [0], "evaluate", autoreset=False) as vector:
        for episode in range(episodes):
            rows["first"].append(vector.reset([episode])[0])
            steps = [vector.step(action[None]) for action in actions]
            rows["last"].append(steps[-1].observation[0])
            rows["return"].append([sum(float(step.reward[0]) for step in steps)])
            rows["ended"].append([float(any(step.ended[0] for step in steps))])
    return {name: np.array(own) for name, own in rows.items()}


def play_pool(pool: Pool, repeat: int, actions: np.ndarray, episodes: int) -> Played:
    """Play them in a pool whose slots are reset for the next episode."""
    parts: dict[str, list[np.ndarray]] = {"first": [], "last": [], "return": [], "ended": []}
    for _ in range(episodes // SLOTS):
        first, total = pool.reset(np.arange(SLOTS)), np.zeros(SLOTS)
        last, running = first.copy(), np.arange(SLOTS)
        for action in actions:
            own = pool.spaces.action.from_unit(np.repeat(action[None], SLOTS, axis=0))
            for _ in range(repeat):
                if running.size:
                    pool.send(own[running], running)
                    step = pool.receive()
                    last[running] = step.observation
                    total[running] += step.reward
                    running = running[~(step.terminated | step.truncated)]
        ended = np.ones(SLOTS)
        ended[running] = 0.0
        for name, part in zip(parts, (first, last, total[:, None], ended[:, None]), strict=True):
            parts[name].append(part)
    return {name: np.concatenate(own) for name, own in parts.items()}


def are_equal(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Return whether all rows of a sample [n, entries] are equal, in both samples."""
    scale = max(1.0, float(np.abs(mine).max()))
    return bool(max(np.ptp(mine, axis=0).max(), np.ptp(theirs, axis=0).max()) <= EXACT * scale)


def different(mine: np.ndarray, theirs: np.ndarray) -> str | None:
    """Return what differs between two samples [n, entries], or None."""
    scale = max(1.0, float(np.abs(mine).max()))
    if are_equal(mine, theirs):
        gap = float(np.abs(mine.mean(axis=0) - theirs.mean(axis=0)).max())
        return None if gap <= EXACT * scale else f"constants differ by {gap:.2g}"
    grid = EXACT * scale
    probability = np.array(
        [
            stats.ks_2samp(np.round(one / grid), np.round(other / grid)).pvalue
            for one, other in zip(mine.T, theirs.T, strict=True)
        ]
    )
    entry = int(np.argmin(probability))
    if probability[entry] * len(probability) >= LEVEL:
        return None
    return f"entry {entry}: mean {mine[:, entry].mean():.4g} and {theirs[:, entry].mean():.4g}"


def whole_episodes(task: Task, episodes: int) -> dict[str, str | None]:
    """Play episodes of random actions to their ends; return differences in length, kind of end, success and return.

    On DM Control both engines must truncate every episode at the limit; on MyoSuite the distributions are compared.
    """
    engines = (task, pool_task(task))
    played: list[dict[str, np.ndarray]] = []
    for engine in engines:
        with make_vector(engine, [0] * episodes, "evaluate", autoreset=False) as vector:
            rng = np.random.default_rng(1)
            vector.reset(list(range(episodes)))
            rows = {name: np.zeros(episodes) for name in ("length", "terminated", "solved", "total")}
            active = np.ones(episodes, bool)
            while active.any():
                action = rng.uniform(-1.0, 1.0, (1, vector.action_size)).astype(np.float32)
                step = vector.step(np.repeat(action, episodes, axis=0))
                rows["length"] += step.env_steps
                rows["terminated"] += step.terminated
                rows["solved"] = np.maximum(rows["solved"], step.active & step.success)
                rows["total"] += step.reward
                active &= ~step.ended
        played.append(rows)
    mine, theirs = played
    if task.suite == "dmc":
        ends = [(set(rows["length"]), set(rows["terminated"])) for rows in played]
        return {"ends": None if ends == [({1000.0}, {0.0})] * 2 else f"{ends[0]} and {ends[1]}"}
    return {name: different(mine[name][:, None], theirs[name][:, None]) for name in mine}


def compare(task: Task) -> dict[str, str]:
    """Return what differs between the engines."""
    spec = pool_task(task).pool
    assert spec is not None
    pool, spaces = Pool(spec, list(range(SLOTS)), task.name), task.make().spaces
    found: dict[str, str | None] = {}
    if (difference := spaces.difference(pool.spaces)) is not None:
        found["spaces"] = " ".join(difference)
    if not found:
        actions = np.random.default_rng(0).uniform(-1.0, 1.0, (DECISIONS, spaces.action.size)).astype(np.float32)
        for episodes in (SLOTS, EPISODES):
            mine = play_suite(task, actions, episodes)
            theirs = play_pool(pool, task.action_repeat, actions, episodes)
            # More episodes of an environment that starts equally would be the same.
            if equal := all(are_equal(mine[name], theirs[name]) for name in mine):
                break
        found = {name: different(mine[name], theirs[name]) for name in mine}
        if not any(found.values()):
            found |= whole_episodes(task, 2 if equal else WHOLE[task.suite])
    pool.close()
    return {name: what for name, what in found.items() if what}


if __name__ == "__main__":
    offered = list_pool_tasks(list_tasks())
    for known in list_tasks():
        if known.benchmark and (known.name in sys.argv[1:] or not sys.argv[1:]):
            result = {"task": known.name, "offered": known in offered, "different": compare(known)}
            print(json.dumps(result), flush=True)
