"""Model card of a run: scores, use, training, hyperparameters, licence and limits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.keywords import command_argument
from surefoot.model_card import markdown as md
from surefoot.output import check_output, write_output
from surefoot.policy import Policy, load_policy
from surefoot.runs import RunDirectory, read_evaluations
from surefoot.runs.layout import MODEL_CARD
from surefoot.text import python_literal, readable

_SUITES = {
    "dmc": ("DM Control", "Apache-2.0 (package `dm-control`; its simulator MuJoCo: Apache-2.0)"),
    "myosuite": ("MyoSuite", "Apache-2.0 (package `myosuite`; its simulator MuJoCo: Apache-2.0)"),
    "gymnasium": (
        "Gymnasium",
        "MIT for Gymnasium's own environments (their simulator MuJoCo: Apache-2.0); an id that another package "
        "registers has that package's licence",
    ),
    "envpool": ("EnvPool", "Apache-2.0 for EnvPool (package `envpool`); its environments have licences of their own"),
    "playground": ("MuJoCo Playground", "Apache-2.0 (package `playground`; its simulator MuJoCo: Apache-2.0)"),
    "gymnax": ("gymnax", "Apache-2.0 (package `gymnax`)"),
    "probe": ("surefoot's probes", "MIT (part of `surefoot`)"),
    "module": ("the user's own environment", "unknown: ask its author"),
    "callable": ("the user's own environment", "unknown: ask its author"),
}
_ENGINES = {"envpool": "EnvPool", "jax": "the training program (JAX)"}
_RESAMPLES = 10_000
_FEW_SEEDS = 5
_UNKNOWN = "not recorded"


@dataclass(frozen=True)
class _Scores:
    """Last evaluation, with one entry per seed; NaN for a diverged seed."""

    env_steps: int
    grad_steps: int
    wall_seconds: float
    episodes: int
    seeds: tuple[int, ...]
    columns: dict[str, np.ndarray]
    """Score, return, and the fraction of solved episodes where the task defines success."""


def write_model_card(path: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Write a run's model card in Markdown.

    The card is made from the files of the run directory alone.

    Args:
        path: Run directory, finished or not.
        out: File to write; None means MODEL_CARD.md in the run directory. An existing file is replaced.

    Returns:
        The path of the file.

    Raises:
        UserError: There is no run, its files are damaged, or the file cannot be written there. Nothing was written.
        RunFailure: The disk is full or broken.
    """
    run = RunDirectory.open(path)
    target = Path(path) / MODEL_CARD if out is None else Path(out)
    check_output(target, run.path)
    write_output(target, readable(_render(run)).encode())
    return target


def _render(run: RunDirectory) -> str:
    config, scores = _checked(run), _last_evaluation(run.path)
    try:
        policy = load_policy(run.path)
    except UserError:
        policy = None  # stopped before its first checkpoint, or every seed diverged
    blocks = [
        *_introduction(config, scores),
        *_results(scores, policy),
        *_use(run.path.name, policy, run.config),
        *_training(config, scores),
        "## Hyperparameters",
        md.table(("name", "value"), list(_flatten(config["algorithm"]))),
        *_licence(config),
        *_limits(config, scores),
    ]
    return "\n\n".join(blocks) + "\n"


def _checked(run: RunDirectory) -> dict[str, Any]:
    """Return config.json after validating the entries that a card needs, since it may have been edited."""
    config = run.config
    kinds = {"task": str, "suite": str, "algorithm": dict, "seeds": list, "env_steps": int, "resolved": dict}
    resolved = {"agent_steps": int, "action_repeat": int}
    for entries, expected in ((config, kinds), (config.get("resolved") or {}, resolved)):
        for name, kind in expected.items():
            if not isinstance(value := entries.get(name), kind):
                raise UserError(f"{run.path / 'config.json'}: {name} is {value!r}, expected {kind.__name__}")
    return config


def _last_evaluation(path: Path) -> _Scores | None:
    rows = read_evaluations(path)
    if not len(rows["env_steps"]):
        return None
    rows = {name: column[rows["env_steps"] == rows["env_steps"].max()] for name, column in rows.items()}
    seeds = tuple(np.unique(rows["seed"]).tolist())
    names = {"score": "score", "return": "return"}
    if not np.isnan(rows["success_any"]).all():
        names |= {"solved": "success_any", "solved at the end": "success_last"}
    return _Scores(
        env_steps=int(rows["env_steps"][0]),
        grad_steps=int(rows["grad_steps"][0]),
        wall_seconds=float(np.max(rows["wall_seconds"])),
        episodes=len(np.unique(rows["episode"])),
        seeds=seeds,
        columns={
            title: np.array([rows[name][rows["seed"] == seed].mean() for seed in seeds])
            for title, name in names.items()
        },
    )


def _introduction(config: Mapping[str, Any], scores: _Scores | None) -> Iterator[str]:
    task, algorithm = md.text(config["task"]), md.text(_at(config, "algorithm", "name"))
    suite, _ = _suite(config)
    yield f"# {task}, {algorithm}"
    reached = "not evaluated yet" if scores is None else f"last evaluated at {scores.env_steps:,}"
    count = len(config["seeds"])
    yield (
        f"Policies for continuous control, learned by reinforcement learning in simulation: task {task} ({suite}), "
        f"algorithm {algorithm}, {count} independently trained seed{'s' * (count != 1)}, {config['env_steps']:,} env "
        f"steps (simulator control steps) per seed planned, {reached}."
    )


def _results(scores: _Scores | None, policy: Policy | None) -> Iterator[str]:
    yield "## Scores"
    if scores is None:
        yield "The run has not been evaluated."
        return
    finite = np.isfinite(scores.columns["score"])
    count = int(finite.sum())
    rows = [
        (name, *_mean_and_interval(values[finite]), str(count), str(scores.episodes))
        for name, values in scores.columns.items()
    ]
    yield f"At env step {scores.env_steps:,}, with the deterministic action:"
    yield md.table(("", "mean", "95% interval", "seeds", "episodes per seed"), rows)
    yield _method(count, len(scores.seeds) - count)
    seed_rows = [
        (str(seed), *(md.number(values[i]) if finite[i] else "diverged" for values in scores.columns.values()))
        for i, seed in enumerate(scores.seeds)
    ]
    yield md.table(("seed", *scores.columns), seed_rows)
    if policy is not None and count > 1 and policy.env_steps == scores.env_steps:
        yield (
            f"`load_policy` selects seed {policy.seed} by default, the one with the best score here. As the maximum of "
            f"{count}, that score is biased: expect less on new episodes."
        )


def _method(count: int, diverged: int) -> str:
    excluded = f" {diverged} more diverged and {'is' if diverged == 1 else 'are'} not included." if diverged else ""
    if count < 2:
        return f"No interval: {count} seed does not show the variation between seeds.{excluded}"
    few = " With so few seeds its coverage is below 95%." if count < _FEW_SEEDS else ""
    return (
        f"The interval is of the mean over {count} seeds: percentile bootstrap over seeds, {_RESAMPLES:,} resamples; a "
        f"seed counts as the mean of its episodes.{few}{excluded}"
    )


def _mean_and_interval(values: np.ndarray) -> tuple[str, str]:
    """Return the mean over seeds [S] and its 95% percentile bootstrap interval as text."""
    if not len(values):
        return "", ""
    if len(values) == 1:
        return md.number(values[0]), ""
    draws = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return md.number(values.mean()), f"{md.number(low)} to {md.number(high)}"


def _use(name: str, policy: Policy | None, config: Mapping[str, Any]) -> Iterator[str]:
    yield "## Use"
    if policy is None:
        yield "The run has no usable policy."
        return
    parts, action = policy.spaces.observation, policy.spaces.action
    layout = ", ".join(f"{'' if part.key is None else f'{md.text(part.key)} '}{list(part.shape)}" for part in parts)
    is_dict = all(len(part.path) == 1 and isinstance(part.path[0], str) for part in parts)
    what = "an array" if policy.observation_keys is None else "a dict of arrays" if is_dict else "nested arrays"
    yield (
        f"The policy maps {policy.observation_size} observation entries ({what}: {layout}) to {policy.action_size} "
        f"action entries ({list(action.shape)} {action.dtype}) in the environment's own units and within its bounds. "
        f"It was saved at env step {policy.env_steps:,}. Loading it runs no code from its files and needs only NumPy:"
    )
    load = f"policy = surefoot.load_policy({python_literal(name)})"
    yield f"```python\nimport surefoot\n\n{load}\naction = policy(observation)\n```"
    yield "Export it to ONNX, or evaluate it again:"
    named = f"./{name}" if name.startswith("-") else name
    task, export = _task_argument(config), ("surefoot", "export", named)
    if task == "":
        yield md.commands(export)
        yield f"```python\nsurefoot.evaluate({python_literal(name)}, task=..., episodes=20)\n```"
        return
    option = () if task is None else ("--task", task)
    yield md.commands(export, ("surefoot", "evaluate", named, *option, "--episodes", "20"))


def _task_argument(config: Mapping[str, Any]) -> str | None:
    """Return the value of ``--task`` in commands; its keywords are in config.json."""
    task, env_set = str(config["task"]), config.get("env_set") or {}
    return command_argument(task.partition("(")[0] if env_set else task, str(config["suite"]), env_set)


def _training(config: Mapping[str, Any], scores: _Scores | None) -> Iterator[str]:
    yield "## Training"
    command = config.get("command")
    if isinstance(command, list):
        yield md.commands(command)
    versions = _at(config, "machine", "versions")
    listed = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else versions
    resumed = config.get("resumed")
    cadences = ("evaluate_every", "checkpoint_every", "log_every")
    rows = [
        ("seeds", config["seeds"]),
        ("environments per seed", config.get("num_envs", 1)),
        ("environments stepped by", _ENGINES.get(str(config.get("engine")), "their own package")),
        ("env steps per seed", config["env_steps"]),
        ("gradient updates per seed", _UNKNOWN if scores is None else scores.grad_steps),
        *((name.replace("_", " "), _at(config, "resolved", name)) for name in ("action_repeat", "discount")),
        ("replay capacity (transitions)", _at(config, "resolved", "replay_capacity")),
        *((f"{name.replace('_', ' ')} (env steps)", config.get(name)) for name in cadences),
        ("evaluation episodes", config.get("evaluation_episodes")),
        ("wall-clock", _UNKNOWN if scores is None else md.duration(scores.wall_seconds)),
        ("started from", _started_from(config.get("warm_start"))),
        ("started", config.get("started")),
        ("resumed", f"{len(resumed) if isinstance(resumed, list) else 0} times"),
        ("precision of products", config.get("precision", "float32")),
        *((name.replace("_", " "), _at(config, "machine", name)) for name in ("device", "cores", "platform")),
        ("surefoot's git revision", _at(config, "machine", "git_revision")),
        ("versions", listed),
    ]
    yield md.table(("", ""), [(name, md.value(value)) for name, value in rows])


def _started_from(warm_start: Any) -> str:
    """Return the networks and transitions that a run started from."""
    given = warm_start if isinstance(warm_start, dict) else {}
    named = (("networks of the run", given.get("init_from")), ("transitions from", given.get("prefill")))
    return " and ".join(f"{what} {md.text(source)}" for what, source in named if source) or "random networks"


def _licence(config: Mapping[str, Any]) -> Iterator[str]:
    _, licence = _suite(config)
    yield "## Licence"
    yield f"Task: {licence}. Parameters: to be chosen by their authors; this card grants no licence."


def _limits(config: Mapping[str, Any], scores: _Scores | None) -> Iterator[str]:
    yield "## Limits"
    planned = config["resolved"]
    lines = [
        "Trained and evaluated in simulation, on this task and its initial states only. Not evaluated on other tasks, "
        "other dynamics, sensor noise, delays, or hardware, which needs safety limits of its own.",
        "For observations far from those of training, actions are within the bounds but otherwise arbitrary.",
        "Scores are those of the deterministic action.",
    ]
    if scores is None or scores.env_steps < planned["agent_steps"] * planned["action_repeat"]:
        lines.append("The run has not reached its last step.")
    if len(config["seeds"]) < _FEW_SEEDS:
        lines.append(f"Fewer than {_FEW_SEEDS} seeds: results of other seeds may differ.")
    yield "\n".join(f"- {line}" for line in lines)


def _suite(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the suite's name and licence."""
    return _SUITES.get(config["suite"], (md.text(config["suite"]), "unknown"))


def _at(config: Mapping[str, Any], *path: str) -> Any:
    """Return a nested entry, or a placeholder where it is missing."""
    entry: Any = config
    for name in path:
        entry = entry.get(name) if isinstance(entry, dict) else None
    return _UNKNOWN if entry is None else entry


def _flatten(part: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield an algorithm's parts and hyperparameters: "critic.norm", "critic.norm.momentum" and so on."""
    for name, value in part.items():
        here = (*path, str(name))
        if isinstance(value, dict):
            yield ".".join(here), md.value(value.get("part"))
            yield from _flatten(value, here)
        elif here in (("discount",), ("action_repeat",)) and value is None:
            yield ".".join(here), "the task's"
        elif name != "part":
            yield ".".join(here), md.value(value)
