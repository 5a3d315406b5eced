"""Tasks by name, Gymnasium id or callable."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.keywords import check_keywords, may_name_code
from surefoot.tasks import tables
from surefoot.tasks.gymnasium import (
    GymnasiumSimulation,
    make_from_callable,
    make_from_target,
    make_mujoco,
    make_registered,
)
from surefoot.tasks.naming import arguments_text, callable_name
from surefoot.tasks.partials import split_gymnasium_make, split_partial
from surefoot.tasks.probes import PROBES
from surefoot.tasks.targets import import_target, load_callable, require_callable
from surefoot.tasks.third_party import how_to_register
from surefoot.tasks.wrappers import Simulation, TaskEnv

Suite = Literal["dmc", "myosuite", "gymnasium", "probe", "module", "callable"]


@dataclass(frozen=True)
class Task:
    """A task and the protocol of its published results.

    Attributes:
        name: "cheetah-run", "myo-key-turn-hard", "HalfCheetah-v5", "probe-action", "module:callable" as it was given,
            or that of a callable (`tasks.naming`), followed by `env_set` in parentheses: "Ant-v5(xml_file='ant.xml')".
            Tasks with one name are the same task.
        suite: Source of the environment: "module" for a callable given by name, which other processes can find again,
            and "callable" for one that was passed.
        action_repeat: Control steps per decision.
        discount: Discount per decision.
        horizon: Control steps after which an episode is truncated; None if there is no limit or it is unknown.
        score_metric: Undiscounted return ("return") or share of solved episodes ("success").
        score_scale: Divisor of the metric that gives the score.
        observation_size: O, or None if it is unknown before the environment is made.
        action_size: A, or None likewise.
        benchmark: Whether it is one of the 15 DM Control or 10 MyoSuite tasks of the CrossQ + WN paper.
        env_set: Keywords with which the environment is made.
        note: Line for the user about what the name does not tell apart, or None.
        source: Factory of the author's `gymnasium.Env`, which takes `rendered` as `simulate` does; None for suites with
            another interface.
        simulate: Factory of the simulation behind `make`; with `rendered=True`, of one whose `camera` will be used.
    """

    name: str
    suite: Suite
    action_repeat: int
    discount: float
    horizon: int | None
    score_metric: Literal["return", "success"] = "return"
    score_scale: float = 1.0
    observation_size: int | None = None
    action_size: int | None = None
    benchmark: bool = False
    env_set: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False, compare=False)
    note: str | None = field(default=None, kw_only=True, repr=False, compare=False)
    source: Callable[..., gymnasium.Env[Any, Any]] | None = field(default=None, kw_only=True, repr=False, compare=False)
    simulate: Callable[..., Simulation] = field(kw_only=True, repr=False, compare=False)

    @property
    def command_argument(self) -> str | None:
        """Value of ``--task`` in commands about a run; None if they need none, empty if only Python can name it."""
        base = self.name.removesuffix(arguments_text((), self.env_set))
        if ":" not in base and not may_name_code(self.env_set):
            return None
        is_path = all(part.isidentifier() for part in re.split("[.:]", base)) and not base.startswith("__main__:")
        return base if is_path or self.suite != "callable" else ""

    def make(self, action_repeat: int | None = None) -> TaskEnv:
        """Make the environment: flat float32 observations, float32 actions in [-1, 1], repeated actions.

        Args:
            action_repeat: Control steps per decision, instead of the task's own.

        Raises:
            MissingDependency: The suite is not installed.
            UserError: A space is not supported, a package is missing, the factory raised or did not return an
                environment, or `action_repeat` is below 1.
        """
        repeat = self.action_repeat if action_repeat is None else action_repeat
        if repeat < 1:
            raise UserError(f"action_repeat must be at least 1, got {repeat}")
        return TaskEnv(self.simulate(), repeat)


def get_task(target: str | Callable[..., gymnasium.Env[Any, Any]], env_set: Mapping[str, Any] | None = None) -> Task:
    """Return a task without starting a simulator.

    Args:
        target: A name from `list_tasks` (ignoring case and the difference between - and _); a registered Gymnasium id;
            "module:callable" or "module:id", which import the module, also from the current directory; or a callable
            that returns a `gymnasium.Env`, whose arguments `functools.partial` or `env_set` supply.
            `functools.partial(gymnasium.make, id)` is the task of the id.
        env_set: Keywords with which the environment is made: values that JSON can hold.

    Raises:
        UserError: There is no such task, its module cannot be imported, it does not take these keywords, or the
            callable needs others.
    """
    keywords = {} if env_set is None else check_keywords(env_set)
    if not isinstance(target, str):
        return _callable_task(target, keywords)
    if (task := _by_spelling().get(_spelling(target))) is not None:
        return _with_keywords(task, keywords)
    if ":" in target:
        return _module_task(target, keywords)
    return _registered_task(target, target, keywords)


@functools.cache
def list_tasks() -> tuple[Task, ...]:
    """Return every task known by name, from a static table: DM Control, MyoSuite, Gymnasium's MuJoCo, the probes."""
    return (*_dmc_tasks(), *_myosuite_tasks(), *_mujoco_tasks(), *_probe_tasks())


def _dmc_tasks() -> list[Task]:
    tasks = []
    for row in tables.DMC.strip().replace("\n", "|").split("|"):
        domain, task, observation_size, action_size = row.split()
        tasks.append(
            Task(
                name=f"{domain}-{task}",
                suite="dmc",
                action_repeat=2,
                discount=0.99,
                horizon=1000,
                score_scale=1000.0,
                observation_size=int(observation_size),
                action_size=int(action_size),
                benchmark=task in tables.DMC_BENCHMARK.get(domain, ()),
                simulate=functools.partial(_simulate_dmc, domain, task),
            )
        )
    return tasks


def _myosuite_tasks() -> list[Task]:
    return [
        Task(
            name=f"myo-{name}{suffix}",
            suite="myosuite",
            action_repeat=2,
            discount=0.95,
            horizon=tables.MYOSUITE_HORIZON,
            score_metric="success",
            observation_size=observation_size,
            action_size=39,
            benchmark=True,
            simulate=functools.partial(_simulate_myosuite, f"myoHand{suite_name}{variant}-v0"),
        )
        for name, suite_name, observation_size in tables.MYOSUITE
        for suffix, variant in (("", "Fixed"), ("-hard", "Random"))
    ]


def _mujoco_tasks() -> list[Task]:
    return [
        _env_task(
            env_id,
            "gymnasium",
            functools.partial(make_mujoco, env_id, {}),
            horizon=1000,
            observation_size=observation_size,
            action_size=action_size,
        )
        for env_id, observation_size, action_size in tables.MUJOCO
    ]


def _probe_tasks() -> list[Task]:
    return [
        _env_task(
            name,
            "probe",
            functools.partial(make_from_callable, probe, name, {}),
            discount=0.9,
            horizon=probe.episode_steps,
            observation_size=2,
            action_size=1,
        )
        for name, probe in PROBES.items()
    ]


def _with_keywords(task: Task, keywords: dict[str, Any]) -> Task:
    """Return a task of the static table with keywords, which may change its sizes."""
    if not keywords:
        return task
    if task.suite != "gymnasium":
        raise UserError(
            f"task '{task.name}' takes no keywords, got '{next(iter(keywords))}': registered Gymnasium ids and "
            "module:callable do"
        )
    source = functools.partial(make_mujoco, task.name, keywords)
    return _env_task(task.name, task.suite, source, keywords=keywords, horizon=_horizon(keywords, task.horizon))


def _callable_task(given: Callable[..., Any], keywords: dict[str, Any]) -> Task:
    if not callable(given):
        raise UserError(f"a task is a name or a callable that returns a gymnasium.Env, got {given!r}")
    if (registered := split_gymnasium_make(given)) is not None:
        env_id, own = registered
        return get_task(env_id, _merged(own, keywords, env_id))
    factory, own = split_partial(given)
    name, note = callable_name(factory)
    keywords = _merged(own, keywords, name)
    require_callable(factory, name, keywords)
    source = functools.partial(make_from_callable, factory, name, keywords)
    return dataclasses.replace(_env_task(name, "callable", source, keywords=keywords), note=note)


def _merged(own: dict[str, Any], keywords: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the keywords of a partial and of ``env_set``.

    Raises:
        UserError: They give one keyword two values.
    """
    for key in own.keys() & keywords.keys():
        if own[key] != keywords[key]:
            raise UserError(
                f"task '{name}' has two values of the keyword '{key}': {own[key]!r} in the callable, {keywords[key]!r} "
                "in env_set"
            )
    return own | keywords


def _module_task(target: str, keywords: dict[str, Any]) -> Task:
    module = import_target(target)
    name = target.rpartition(":")[2]
    if name not in gymnasium.registry and callable(register := getattr(module, "register_envs", None)):
        with contextlib.suppress(Exception):  # a convention of packages that do not register ids on import
            register()
    # A Python name may also be an id that the module has registered.
    if name in gymnasium.registry or "-" in name or "/" in name:
        return _registered_task(name, target, keywords)
    load_callable(target, keywords)  # errors show here instead of in every worker
    return _env_task(target, "module", functools.partial(make_from_target, target, keywords), keywords=keywords)


def _registered_task(env_id: str, name: str, keywords: dict[str, Any]) -> Task:
    try:
        spec = gymnasium.spec(env_id)
    except gymnasium.error.Error as error:
        raise _unknown(env_id, name, error) from error
    source = functools.partial(make_registered, spec, keywords)
    return _env_task(name, "gymnasium", source, keywords=keywords, horizon=_horizon(keywords, spec.max_episode_steps))


def _unknown(env_id: str, name: str, error: Exception) -> UserError:
    if ":" not in name and (known := how_to_register(env_id)) is not None:
        return UserError(f"unknown task '{name}': {known}")
    reason = "" if isinstance(error, gymnasium.error.NameNotFound) else f" ({' '.join(str(error).split())})"
    near = _with_colon(name) or suggest(env_id, [task.name for task in list_tasks()] + list(gymnasium.registry))
    return UserError(
        f"unknown task '{name}'{near}{reason}; `surefoot tasks` lists the known names, any registered Gymnasium id "
        "works too, and so does module:callable"
    )


def _horizon(keywords: dict[str, Any], registered: int | None) -> int | None:
    """Return the time limit of a registered environment; `gymnasium.make` has a keyword for it, -1 for none."""
    steps = keywords.get("max_episode_steps")
    if steps is None:
        return registered
    return steps if isinstance(steps, int) and steps > 0 else None


def _with_colon(name: str) -> str:
    """Suggest module:callable for module.callable."""
    module, _, attribute = name.rpartition(".")
    is_dotted = module and all(part.isidentifier() for part in name.split("."))
    return f"; did you mean '{module}:{attribute}'?" if is_dotted else ""


def _env_task(
    name: str,
    suite: Suite,
    source: Callable[..., gymnasium.Env[Any, Any]],
    *,
    keywords: Mapping[str, Any] | None = None,
    discount: float = 0.99,
    horizon: int | None = None,
    observation_size: int | None = None,
    action_size: int | None = None,
) -> Task:
    """Return the task of a `gymnasium.Env`, without action repeat."""
    keywords = keywords or {}
    name += arguments_text((), keywords)
    return Task(
        name=name,
        suite=suite,
        action_repeat=1,
        discount=discount,
        horizon=horizon,
        observation_size=observation_size,
        action_size=action_size,
        env_set=keywords,
        source=source,
        simulate=functools.partial(_simulate_env, source, name),
    )


@functools.cache
def _by_spelling() -> dict[str, Task]:
    return {_spelling(task.name): task for task in list_tasks()}


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")


# Suites are imported where they are used, so that listing tasks starts no simulator.


def _simulate_dmc(domain: str, task: str, *, rendered: bool = False) -> Simulation:  # it renders either way
    from surefoot.tasks.dmc import DMCSimulation

    return DMCSimulation(domain, task)


def _simulate_myosuite(env_id: str, *, rendered: bool = False) -> Simulation:  # likewise
    from surefoot.tasks.myosuite import MyoSuiteSimulation

    return MyoSuiteSimulation(env_id, tables.MYOSUITE_HORIZON)


def _simulate_env(source: Callable[..., gymnasium.Env[Any, Any]], name: str, *, rendered: bool = False) -> Simulation:
    env = source(rendered=rendered)
    try:
        return GymnasiumSimulation(env, name)
    except BaseException:
        with contextlib.suppress(Exception):  # keep the first error
            env.close()
        raise
