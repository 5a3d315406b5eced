"""Description of a task."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium

from surefoot.engine import Engine
from surefoot.errors import UserError
from surefoot.keywords import command_argument
from surefoot.tasks.gymnasium import GymnasiumSimulation
from surefoot.tasks.naming import arguments_text
from surefoot.tasks.wrappers import Simulation, TaskEnv

Suite = Literal["dmc", "myosuite", "gymnasium", "envpool", "playground", "gymnax", "probe", "module", "callable"]


@dataclass(frozen=True)
class PoolSpec:
    """One of EnvPool's environments.

    Attributes:
        env_id: Its id.
        keys: Keys of its observation, in order; None for all of them, in the order of its space.
        horizon: Control steps after which an episode is truncated; None for EnvPool's own limit.
        dtype: Dtype of observations and actions in the task's suite, for the spaces; None for EnvPool's own.
    """

    env_id: str
    keys: tuple[str, ...] | None = None
    horizon: int | None = None
    dtype: str | None = None


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
        factory: Calls the user's callable, for suites that are code; the environment may have another interface than
            Gymnasium's.
        pool: Environment of EnvPool that vectors of environments consist of; None for copies of `make`.
        jax: Factory of an environment written in JAX (`simulators.environments.JaxEnv`), of which vectors consist;
            None for copies of `make`.
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
    factory: Callable[[], Any] | None = field(default=None, kw_only=True, repr=False, compare=False)
    pool: PoolSpec | None = field(default=None, kw_only=True, repr=False, compare=False)
    jax: Callable[[], Any] | None = field(default=None, kw_only=True, repr=False, compare=False)
    simulate: Callable[..., Simulation] = field(kw_only=True, repr=False, compare=False)

    @property
    def engine(self) -> Engine:
        """What steps its environments."""
        return "envpool" if self.pool is not None else "jax" if self.jax is not None else "suite"

    @property
    def command_argument(self) -> str | None:
        """Value of ``--task`` in commands about a run; None if they need none, empty if only Python can name it."""
        base = self.name.removesuffix(arguments_text((), self.env_set))
        return command_argument(base, self.suite, self.env_set)

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


def env_task(
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
    """Return the task of a `gymnasium.Env`, without action repeat.

    Args:
        name: Its name, without keywords.
        suite: As in `Task`.
        source: As in `Task`.
        keywords: Keywords with which the source makes the environment.
        discount: As in `Task`.
        horizon: As in `Task`.
        observation_size: As in `Task`.
        action_size: As in `Task`.
    """
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


def _simulate_env(source: Callable[..., gymnasium.Env[Any, Any]], name: str, *, rendered: bool = False) -> Simulation:
    env = source(rendered=rendered)
    try:
        return GymnasiumSimulation(env, name)
    except BaseException:
        with contextlib.suppress(Exception):  # keep the first error
            env.close()
        raise
