"""A run's evaluations: at their step, or beside training where cores are left over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surefoot.algorithms import LearnerState
from surefoot.errors import EnvironmentFailure, UserError
from surefoot.machine import usable_cores
from surefoot.tasks import Task
from surefoot.training.checkpointing.arrays import copy_tree
from surefoot.training.config import TrainConfig
from surefoot.training.divergence import Divergence
from surefoot.training.evaluation import Episodes, Evaluator
from surefoot.training.plan import Plan
from surefoot.training.population import Population
from surefoot.training.runtime.background import Background

_PATIENCE = 2.0
"""Seconds that an evaluation nobody waits for has to end its step; environments that hang are ended by force."""

_COMPILING = 60.0
"""Seconds that it may then still be inside XLA, which an interpreter that ends must not be."""

UNDER_WAY = "the evaluation that was being played"
"""What failed, for a message."""


class Played(NamedTuple):
    """One evaluation of all seeds, beside training."""

    counts: dict[str, int | float]
    """Where the run stood when its policies were taken."""
    episodes: Episodes


class Evaluations:
    """Plays a run's evaluations, one at a time.

    Beside training they are played by a thread and by worker processes that take what time others leave, with a copy of
    the policies: what they come to is bit for bit the same, and is known some steps later.

    Args:
        config: of the run.
        plan: its resolved numbers.
        task: what to play.
        population: acts.
        training_workers: processes that step the training environments.
    """

    def __init__(
        self, config: TrainConfig, plan: Plan, task: Task, population: Population, training_workers: int
    ) -> None:
        self._config, self._plan, self._task, self._population = config, plan, task, population
        self._in_process = training_workers == 0
        # One core for the learner, and one for each worker that steps the training environments.
        left_over = usable_cores() - 1 - training_workers
        self._beside = config.overlap and config.env_workers != 0 and left_over > 0
        self._evaluator: Evaluator | None = None
        self._thread = Background(UNDER_WAY)
        self._played: Played | None = None
        self._said: list[tuple[int, str]] = []
        self._abandoned = False

    def make(self) -> Evaluator:
        """Return what plays them; its environments are made when it is first asked for.

        Others may use those while nothing is under way.
        """
        if self._evaluator is None:
            try:
                self._evaluator = self._make(self._beside)
            except UserError:
                if not (self._beside and self._in_process):
                    raise
                # A task that cannot be sent to a worker, and trains without any, is evaluated as without overlap.
                self._beside = False
                self._evaluator = self._make(False)
        return self._evaluator

    def _make(self, beside: bool) -> Evaluator:
        episodes, repeat, workers = self._config.evaluation_episodes, self._plan.action_repeat, self._config.env_workers
        return Evaluator(self._task, self._plan.seeds, episodes, repeat, workers, background=beside)

    @property
    def beside(self) -> bool:
        """Whether evaluations are played beside training: with ``overlap``, where cores are left over."""
        if self._beside:
            self.make()  # Which may find out that they cannot be.
        return self._beside

    @property
    def under_way(self) -> bool:
        """Whether an evaluation was begun whose result was not taken."""
        return self._thread.busy

    def play(self, learner: LearnerState, divergence: Divergence, env_steps: int) -> Episodes:
        """Play all episodes; the returns of seeds that are lost are NaN.

        Args:
            learner: the policies.
            divergence: this evaluation's own, told of those that are not finite. Training finds them by itself, at a
                step that does not depend on when an evaluation is played.
            env_steps: where the run stands.
        """

        def act(observation: np.ndarray) -> np.ndarray:
            if self._abandoned:
                raise _AbandonedError
            return divergence.silence(np.array(self._population.act_deterministic(learner, observation)), env_steps)

        episodes = self.make().run(act)
        episodes.returns[divergence.lost] = np.nan
        return episodes

    def begin(self, learner: LearnerState, counts: dict[str, int | float], lost: np.ndarray) -> None:
        """Begin to ``play`` beside training, which may give its own ``learner`` away.

        Args:
            learner: the policies.
            counts: where the run stands.
            lost: [S] bool, seeds that are known to have diverged. ``said`` tells of others.
        """
        self.make()
        policies, env_steps = copy_tree(learner), int(counts["env_steps"])
        divergence = Divergence(self._plan.seeds, lambda index, line: self._said.append((index, line)), lost)

        def work() -> None:
            try:
                self._played = Played(counts, self.play(policies, divergence, env_steps))
            except EnvironmentFailure as error:
                detail = f"in the evaluation of env step {env_steps:,}: {error.detail}"
                raise EnvironmentFailure(error.seed, detail) from error

        self._thread.begin(work)

    def said(self) -> list[tuple[int, str]]:
        """Return, once, the seeds that the evaluation taken last found to have diverged, and a line about each."""
        if self._thread.busy:
            return []
        said, self._said = self._said, []
        return said

    def take(self, wait: bool = False) -> Played | None:
        """Return, once, what the evaluation that was begun came to, if it is over.

        Args:
            wait: until it is.

        Raises:
            EnvironmentFailure: an environment failed, or no seed has a finite policy.
        """
        if not self._thread.finished(wait):
            return None
        played, self._played = self._played, None
        return played

    def abandon(self) -> None:
        """Let what is under way end with its current step; nobody waits for it."""
        self._abandoned = True

    def close(self) -> None:
        """Abandon what is under way, and end the environments."""
        self.abandon()
        self._thread.wait(_PATIENCE)
        if self._evaluator is not None:
            self._evaluator.close()
        self._thread.wait(_COMPILING)


class _AbandonedError(Exception):
    """Nobody waits for this evaluation any more."""
