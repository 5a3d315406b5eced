"""A name, an id or a callable -> what the task is and how to make it.

One table, written out so that `surefoot tasks` needs no simulator; tests hold it against the suites.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.tasks.probes import PROBES
from surefoot.tasks.wrappers import Simulation, TaskEnv

Suite = Literal["dmc", "myosuite", "gymnasium", "probe", "callable"]


@dataclass(frozen=True)
class Task:
    """What a task is, under the protocol its published results use.

    Attributes:
        name: "cheetah-run", "myo-key-turn-hard", "HalfCheetah-v5", "probe-action", or a callable's "module:qualname".
        suite: where the environment comes from.
        action_repeat: control steps per decision.
        discount: per decision.
        horizon: control steps after which an episode is truncated; None where there is no limit or none is known.
        score_metric: what the task is judged by: the undiscounted return or the share of solved episodes.
        score_scale: score = value of the metric / score_scale.
        observation_size: O, or None where only making the environment tells.
        action_size: A, or None where only making the environment tells.
        benchmark: one of the 15 DM Control or 10 MyoSuite tasks of the CrossQ + WN paper.
        simulate: makes the suite's own environment; `make` is what agents use.
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
    simulate: Callable[[], Simulation] = field(kw_only=True, repr=False, compare=False)

    def make(self, action_repeat: int | None = None) -> TaskEnv:
        """Make the environment: flat float32 observations, float32 actions in [-1, 1], repeated actions.

        Args:
            action_repeat: control steps per decision, in place of the task's own.

        Raises:
            MissingDependency: the suite is not installed.
            UserError: a space is not supported, a package is missing, or `action_repeat` is below 1.
        """
        repeat = self.action_repeat if action_repeat is None else action_repeat
        if repeat < 1:
            raise UserError(f"action_repeat must be at least 1, got {repeat}")
        return TaskEnv(self.simulate(), repeat, self.score_metric == "success")


def get_task(target: str | Callable[[], gymnasium.Env[Any, Any]]) -> Task:
    """Find the task `target` stands for, without starting a simulator.

    Args:
        target: a name from `list_tasks` (case and the choice between - and _ do not matter), a registered Gymnasium
            id, "module:id" for an id that importing a module registers, or a zero-argument callable that returns a
            `gymnasium.Env`.

    Raises:
        UserError: nothing has this name.
    """
    if not isinstance(target, str):
        return _callable_task(target)
    if (task := _by_spelling().get(_spelling(target))) is not None:
        return task
    return _gymnasium_task(target)


@functools.cache
def list_tasks() -> tuple[Task, ...]:
    """Return every task known by name: DM Control, MyoSuite, then the probes. Instant, from a static table."""
    return (*_dmc_tasks(), *_myosuite_tasks(), *_probe_tasks())


_DMC = """
acrobot swingup 6 1|acrobot swingup_sparse 6 1|ball_in_cup catch 8 2|cartpole balance 5 1|cartpole balance_sparse 5 1
cartpole swingup 5 1|cartpole swingup_sparse 5 1|cartpole two_poles 8 1|cartpole three_poles 11 1|cheetah run 17 6
dog stand 223 38|dog walk 223 38|dog trot 223 38|dog run 223 38|dog fetch 232 38|finger spin 9 2|finger turn_easy 12 2
finger turn_hard 12 2|fish upright 21 5|fish swim 24 5|hopper stand 15 4|hopper hop 15 4|humanoid stand 67 21
humanoid walk 67 21|humanoid run 67 21|humanoid run_pure_state 55 21|humanoid_CMU stand 137 56|humanoid_CMU walk 137 56
humanoid_CMU run 137 56|manipulator bring_ball 44 5|manipulator bring_peg 44 5|manipulator insert_ball 44 5
manipulator insert_peg 44 5|pendulum swingup 3 1|point_mass easy 4 2|point_mass hard 4 2|quadruped walk 78 12
quadruped run 78 12|quadruped escape 101 12|quadruped fetch 90 12|reacher easy 6 2|reacher hard 6 2|stacker stack_2 49 5
stacker stack_4 63 5|swimmer swimmer6 25 5|swimmer swimmer15 61 14|walker stand 24 6|walker walk 24 6|walker run 24 6
"""
"""Domain, task, O, A of every suite task but lqr, which has no time limit and draws its model when it is loaded."""

_DMC_BENCHMARK = {
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run"),
    "finger": ("turn_hard",),
    "fish": ("swim",),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run"),
    "pendulum": ("swingup",),
    "quadruped": ("run",),
    "walker": ("run",),
}

_MYOSUITE = (
    ("reach", "Reach", 115),
    ("pose", "Pose", 108),
    ("obj-hold", "ObjHold", 91),
    ("key-turn", "KeyTurn", 93),
    ("pen-twirl", "PenTwirl", 83),
)
"""Name, MyoSuite's name, O. "-hard" is MyoSuite's Random variant, the plain name its Fixed one."""

_MYOSUITE_HORIZON = 100


def _dmc_tasks() -> list[Task]:
    tasks = []
    for row in _DMC.strip().replace("\n", "|").split("|"):
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
                benchmark=task in _DMC_BENCHMARK.get(domain, ()),
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
            horizon=_MYOSUITE_HORIZON,
            score_metric="success",
            observation_size=observation_size,
            action_size=39,
            benchmark=True,
            simulate=functools.partial(_simulate_myosuite, f"myoHand{theirs}{variant}-v0"),
        )
        for name, theirs, observation_size in _MYOSUITE
        for suffix, variant in (("", "Fixed"), ("-hard", "Random"))
    ]


def _probe_tasks() -> list[Task]:
    return [
        Task(
            name=name,
            suite="probe",
            action_repeat=1,
            discount=0.9,
            horizon=probe.episode_steps,
            observation_size=2,
            action_size=1,
            simulate=functools.partial(_simulate_callable, probe, name),
        )
        for name, probe in PROBES.items()
    ]


def _callable_task(factory: Callable[[], Any]) -> Task:
    if not callable(factory):
        raise UserError(f"a task is a name or a callable that returns a gymnasium.Env, got {factory!r}")
    named = factory.func if isinstance(factory, functools.partial) else factory
    qualname = getattr(named, "__qualname__", type(named).__qualname__)
    name = f"{named.__module__}:{qualname}"
    return Task(
        name=name,
        suite="callable",
        action_repeat=1,
        discount=0.99,
        horizon=None,
        simulate=functools.partial(_simulate_callable, factory, name),
    )


def _gymnasium_task(env_id: str) -> Task:
    from surefoot.tasks.gymnasium import find_spec

    try:
        spec = find_spec(env_id)
    except gymnasium.error.Error as error:
        reason = "" if isinstance(error, gymnasium.error.NameNotFound) else f" ({' '.join(str(error).split())})"
        near = suggest(env_id, [task.name for task in list_tasks()] + list(gymnasium.registry))
        raise UserError(
            f"unknown task '{env_id}'{near}{reason}; `surefoot tasks` lists the known names, "
            "any registered Gymnasium id works too"
        ) from error
    return Task(
        name=env_id,
        suite="gymnasium",
        action_repeat=1,
        discount=0.99,
        horizon=spec.max_episode_steps,
        simulate=functools.partial(_simulate_registered, spec),
    )


@functools.cache
def _by_spelling() -> dict[str, Task]:
    return {_spelling(task.name): task for task in list_tasks()}


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")


# Suites are imported where they are used, so that listing tasks starts no simulator.


def _simulate_dmc(domain: str, task: str) -> Simulation:
    from surefoot.tasks.dmc import DMCSimulation

    return DMCSimulation(domain, task)


def _simulate_myosuite(env_id: str) -> Simulation:
    from surefoot.tasks.myosuite import MyoSuiteSimulation

    return MyoSuiteSimulation(env_id, _MYOSUITE_HORIZON)


def _simulate_registered(spec: Any) -> Simulation:
    from surefoot.tasks.gymnasium import make_registered

    return make_registered(spec)


def _simulate_callable(factory: Callable[[], Any], name: str) -> Simulation:
    from surefoot.tasks.gymnasium import make_from_callable

    return make_from_callable(factory, name)
