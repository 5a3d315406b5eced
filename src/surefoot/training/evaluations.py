"""A run's evaluations: at their step, or beside training where cores are left over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surefoot.algorithms import LearnerState
from surefoot.tasks import Task, usable_cores
from surefoot.training.background import Background
from surefoot.training.checkpoint import copy_tree
from surefoot.training.config import TrainConfig
from surefoot.training.divergence import not_finite
from surefoot.training.evaluation import Episodes, Evaluator
from surefoot.training.population import Population
from surefoot.training.setup import Plan

_PATIENCE = 2.0
"""Seconds that an evaluation nobody waits for has to end its step; environments that hang are ended by force."""


class Played(NamedTuple):
    """One evaluation of all seeds."""

    counts: dict[str, int | float]
    """Where the run stood when its policies were taken."""
    episodes: Episodes
    diverged: np.ndarray
    """[S] bool, the seeds whose policy was not finite; their returns are NaN."""


class Evaluations:
    """Plays a run's evaluations, one at a time.

    Beside training they are played by a thread and by worker processes of their own, with a copy of the policies: what
    they come to is bit for bit the same, and is known some steps later.

    Args:
        config: of the run.
        plan: its resolved numbers.
        task: what to play.
        population: acts.
        training_workers: processes that step the training environments.

    Attributes:
        beside: whether ``begin`` has cores to play on; with ``overlap``, where some are left over.
    """

    def __init__(
        self, config: TrainConfig, plan: Plan, task: Task, population: Population, training_workers: int
    ) -> None:
        self._config, self._plan, self._task, self._population = config, plan, task, population
        self._workers, self.beside = config.env_workers, False
        spare = usable_cores() - 1 - training_workers
        if config.overlap and config.env_workers != 0 and spare > 0:
            self._workers, self.beside = min(config.env_workers or spare, spare), True
        self._evaluator: Evaluator | None = None
        self._thread = Background("the evaluation that was being played")
        self._played: Played | None = None
        self._abandoned = False

    def make(self) -> Evaluator:
        """Return what plays them; its environments are made when it is first asked for.

        Others may use those while nothing is under way.
        """
        if self._evaluator is None:
            episodes, repeat = self._config.evaluation_episodes, self._plan.action_repeat
            self._evaluator = Evaluator(self._task, self._plan.seeds, episodes, repeat, self._workers)
        return self._evaluator

    @property
    def under_way(self) -> bool:
        """Whether an evaluation was begun whose result was not taken."""
        return self._thread.busy

    def play(self, learner: LearnerState, counts: dict[str, int | float], lost: np.ndarray) -> Played:
        """Play all episodes.

        Args:
            learner: the policies.
            counts: where the run stands.
            lost: [S] bool, seeds that are known to have diverged.
        """
        diverged = lost.copy()

        def act(observation: np.ndarray) -> np.ndarray:
            if self._abandoned:
                raise _AbandonedError
            actions = np.array(self._population.act_deterministic(learner, observation))
            diverged[:] |= not_finite(actions)
            actions[diverged] = 0.0
            return actions

        episodes = self.make().run(act)
        episodes.returns[diverged] = np.nan
        return Played(counts, episodes, diverged)

    def begin(self, learner: LearnerState, counts: dict[str, int | float], lost: np.ndarray) -> None:
        """Begin to ``play`` beside training, which may give its own ``learner`` away."""
        self.make()
        policies, known = copy_tree(learner), lost.copy()

        def work() -> None:
            self._played = self.play(policies, counts, known)

        self._thread.begin(work)

    def take(self, wait: bool = False) -> Played | None:
        """Return, once, what the evaluation that was begun came to, if it is over.

        Args:
            wait: until it is.

        Raises:
            EnvironmentFailure: an environment failed.
        """
        if not self._thread.finished(wait):
            return None
        played, self._played = self._played, None
        return played

    def close(self) -> None:
        """Give up what is under way, and end the environments."""
        self._abandoned = True
        self._thread.forget(_PATIENCE)
        if self._evaluator is not None:
            self._evaluator.close()


class _AbandonedError(Exception):
    """Nobody waits for this evaluation any more."""
