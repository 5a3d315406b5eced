"""Tasks by name, Gymnasium id or callable."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.tasks import tables
from surefoot.tasks.gymnasium import (
    GymnasiumSimulation,
    make_from_callable,
    make_from_target,
    make_mujoco,
    make_registered,
)
from surefoot.tasks.probes import PROBES
from surefoot.tasks.targets import import_target, load_callable, require_callable
from surefoot.tasks.wrappers import Simulation, TaskEnv

Suite = Literal["dmc", "myosuite", "gymnasium", "probe", "module", "callable"]


@dataclass(frozen=True)
class Task:
    """A task and the protocol of its published results.

    Attributes:
        name: "cheetah-run", "myo-key-turn-hard", "HalfCheetah-v5", "probe-action", "module:callable" as it was given,
            or the "module:qualname" of a callable.
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
    source: Callable[..., gymnasium.Env[Any, Any]] | None = field(default=None, kw_only=True, repr=False, compare=False)
    simulate: Callable[..., Simulation] = field(kw_only=True, repr=False, compare=False)

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


def get_task(target: str | Callable[[], gymnasium.Env[Any, Any]]) -> Task:
    """Return a task without starting a simulator.

    Args:
        target: A name from `list_tasks` (ignoring case and the difference between - and _); a registered Gymnasium id;
            "module:callable" or "module:id", which import the module, also from the current directory; or a callable
            without arguments that returns a `gymnasium.Env`.

    Raises:
        UserError: There is no such task, its module cannot be imported, or the callable needs arguments.
    """
    if not isinstance(target, str):
        return _callable_task(target)
    if (task := _by_spelling().get(_spelling(target))) is not None:
        return task
    if ":" in target:
        return _module_task(target)
    return _registered_task(target, target)


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
            functools.partial(make_mujoco, env_id),
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
            functools.partial(make_from_callable, probe, name),
            discount=0.9,
            horizon=probe.episode_steps,
            observation_size=2,
            action_size=1,
        )
        for name, probe in PROBES.items()
    ]


def _callable_task(factory: Callable[[], Any]) -> Task:
    if not callable(factory):
        raise UserError(f"a task is a name or a callable that returns a gymnasium.Env, got {factory!r}")
    named = factory.func if isinstance(factory, functools.partial) else factory
    qualname = getattr(named, "__qualname__", type(named).__qualname__)
    name = f"{named.__module__}:{qualname}"
    require_callable(factory, name)
    return _env_task(name, "callable", functools.partial(make_from_callable, factory, name))


def _module_task(target: str) -> Task:
    import_target(target)
    name = target.rpartition(":")[2]
    # A Python name may also be an id that the module has registered.
    if name in gymnasium.registry or "-" in name or "/" in name:
        return _registered_task(name, target)
    load_callable(target)  # errors show here instead of in every worker
    return _env_task(target, "module", functools.partial(make_from_target, target))


def _registered_task(env_id: str, name: str) -> Task:
    try:
        spec = gymnasium.spec(env_id)
    except gymnasium.error.Error as error:
        reason = "" if isinstance(error, gymnasium.error.NameNotFound) else f" ({' '.join(str(error).split())})"
        near = _with_colon(name) or suggest(env_id, [task.name for task in list_tasks()] + list(gymnasium.registry))
        raise UserError(
            f"unknown task '{name}'{near}{reason}; `surefoot tasks` lists the known names, any registered Gymnasium id "
            "works too, and so does module:callable"
        ) from error
    return _env_task(name, "gymnasium", functools.partial(make_registered, spec), horizon=spec.max_episode_steps)


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
    discount: float = 0.99,
    horizon: int | None = None,
    observation_size: int | None = None,
    action_size: int | None = None,
) -> Task:
    """Return the task of a `gymnasium.Env`, without action repeat."""
    return Task(
        name=name,
        suite=suite,
        action_repeat=1,
        discount=discount,
        horizon=horizon,
        observation_size=observation_size,
        action_size=action_size,
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
