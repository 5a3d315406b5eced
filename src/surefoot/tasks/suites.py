"""The tasks known by name, from a static table."""

from __future__ import annotations

import functools

from surefoot.tasks import tables
from surefoot.tasks.gymnasium import make_from_callable, make_mujoco
from surefoot.tasks.probes import PROBES
from surefoot.tasks.task import Task, env_task
from surefoot.tasks.wrappers import Simulation


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
        env_task(
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
        env_task(
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


# Suites are imported where they are used, so that listing tasks starts no simulator.


def _simulate_dmc(domain: str, task: str, *, rendered: bool = False) -> Simulation:  # it renders either way
    from surefoot.tasks.dmc import DMCSimulation

    return DMCSimulation(domain, task)


def _simulate_myosuite(env_id: str, *, rendered: bool = False) -> Simulation:  # likewise
    from surefoot.tasks.myosuite import MyoSuiteSimulation

    return MyoSuiteSimulation(env_id, tables.MYOSUITE_HORIZON)
