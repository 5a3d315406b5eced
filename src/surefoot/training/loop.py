"""The training loop: act, step, store, update; evaluate; checkpoint.

One jitted call per agent step (two where environments and updates overlap); Python never sees a gradient update.
Between two agent steps everything that decides the rest of the run is in ``PopulationState`` (device) and ``HostState``
(host), and a checkpoint is exactly these two.
"""

from __future__ import annotations

import contextlib
import time
from typing import Self

import numpy as np

from surefoot.machine import device_name
from surefoot.runs import RunDirectory
from surefoot.tasks import Task, VectorEnv, VectorStep, make_vector
from surefoot.training.callbacks import EventDispatcher, StepView
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.config import TrainConfig
from surefoot.training.diagnosis import Diagnosis
from surefoot.training.divergence import Divergence, TellOnce
from surefoot.training.evaluations import UNDER_WAY, Evaluations, Played
from surefoot.training.events import CheckpointSaved, EvaluationDone, Progress, RunFinished, RunStarted
from surefoot.training.memory import check_memory, replay_bytes
from surefoot.training.plan import Plan, unreached_resets
from surefoot.training.population import Population, PopulationState
from surefoot.training.run_writer import RunWriter
from surefoot.training.runtime.background import finishing
from surefoot.training.runtime.failures import naming_step
from surefoot.training.runtime.pace import Pace
from surefoot.training.runtime.signals import StopSignal
from surefoot.training.setup import make_population
from surefoot.training.warm_start.warm_start import WarmStart
from surefoot.types import EnvSpec, Transition

_PROGRESS_SECONDS = 0.25


class TrainingLoop:
    """One run from its first or restored step to its last. Use it in a ``with`` block; it owns the environments.

    Args:
        config: what was asked for.
        plan: its resolved numbers.
        task: what to learn.
        vector: S training environments.
        watchers: who is told of it.
    """

    def __init__(
        self, config: TrainConfig, plan: Plan, task: Task, vector: VectorEnv, watchers: EventDispatcher
    ) -> None:
        self._config, self._plan, self._task, self._watchers = config, plan, task, watchers
        self._vector = vector
        self._diagnosis: Diagnosis | None = None
        self._recorder: RunWriter | None = None
        self._warm_start: WarmStart | None = None
        self._population: Population = make_population(config, plan, task, vector)
        self._evaluations = Evaluations(config, plan, task, self._population, vector.num_workers)
        self._tell_lost = TellOnce(watchers.on_message)
        self._divergence = Divergence(plan.seeds, self._tell_lost)
        self._state: PopulationState
        self._host: HostState
        self._began = time.monotonic()

    @classmethod
    def make(cls, config: TrainConfig, plan: Plan, task: Task, watchers: EventDispatcher) -> Self:
        """Make the environments, then the loop."""
        if task.observation_size is not None and task.action_size is not None:
            # Before many environments are built, which can take minutes.
            check_memory(plan, task, EnvSpec(task.observation_size, task.action_size))
        vector = make_vector(
            task, plan.seeds, "train", action_repeat=plan.action_repeat, num_workers=config.env_workers
        )
        try:
            return cls(config, plan, task, vector, watchers)
        except BaseException:
            vector.close()
            raise

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the environments and close the logs, also where an impatient person interrupts it."""
        self._evaluations.abandon()
        with contextlib.ExitStack() as stack:
            if self._recorder is not None:
                stack.callback(self._recorder.close)
            stack.callback(self._evaluations.close)
            self._vector.close()

    # ---------------------------------------------------------------- begin

    def prepare(self, warm_start: WarmStart) -> None:
        """Check what the run is to begin with against the environment, and make the environments that evaluate.

        Raises:
            UserError: it does not fit.
        """
        warm_start.fit(self._population, self._vector, self._task, self._plan.action_repeat)
        self._warm_start = warm_start
        self._evaluations.make()  # now, since nothing is written yet: more copies may be refused

    def start(self, directory: RunDirectory) -> None:
        """Begin at step 0, in a directory whose lock is held."""
        self._recorder = self._make_recorder(directory)
        self._recorder.clear()
        observation = self._vector.reset([0] * len(self._plan.seeds))
        self._state, action = self._begin(observation)
        self._host = HostState.start(observation, action)
        self._announce(directory)
        self._evaluate()
        self._checkpoint()
        self._tell_checkpoint(wait=True)  # A disk that refuses is told before the first step.

    def _begin(self, observation: np.ndarray) -> tuple[PopulationState, np.ndarray]:
        """Return the state before the first step, and first actions [S, A], for first observations [S, O]."""
        state, action = self._population.init(observation)
        if self._warm_start is not None:
            for line in self._warm_start.messages:
                self._watchers.on_message(line)
            state = self._warm_start.apply(state, observation)
        if self._plan.random_steps == 0:
            state, action = self._population.act_first(state, observation)
        return state, np.asarray(action)

    def restore(self, directory: RunDirectory) -> None:
        """Continue from the last good checkpoint of a directory whose lock is held."""
        self._recorder = self._make_recorder(directory)
        self._state, self._host = self._recorder.restore(self._population, self._watchers.on_message)
        lost = self._host.restore_episodes(self._vector, self._plan.seeds, self._watchers.on_message)
        if lost.any():
            self._state = self._population.begin_episodes(self._state, self._host.observation, lost)
        self._announce(directory)

    def _announce(self, directory: RunDirectory) -> None:
        self._directory = directory
        spec = EnvSpec(self._vector.observation_size, self._vector.action_size)
        started = RunStarted(
            path=directory.path,
            task=self._task.name,
            algorithm=self._config.algorithm.name,
            utd=self._config.algorithm.utd,
            seeds=self._plan.seeds,
            env_steps=self._plan.agent_steps * self._plan.action_repeat,
            start_env_steps=self._env_steps,
            device=device_name(),
            replay_bytes=replay_bytes(self._plan, self._task, spec),
            env_workers=self._vector.num_workers,
            precision=self._config.precision,
            beside_every=self._config.evaluate_every if self._evaluations.beside else None,
        )
        self._watchers.on_start(started)
        if (line := unreached_resets(self._config.algorithm, self._plan)) is not None:
            self._watchers.on_message(line)

    # ---------------------------------------------------------------- run

    def run(self, stop: StopSignal) -> RunFinished:
        """Go on to the last step, or until a signal or a callback asks for the end.

        All of these end with a checkpoint and the policy on disk.
        """
        self._next_reset = self._plan.next_reset(self._config.algorithm, self._host.agent_steps)
        self._log_pace, self._progress_pace = (
            Pace(self._plan, self._config.algorithm.utd, self._host.agent_steps) for _ in range(2)
        )
        named = naming_step(self._task, self._watchers, lambda: self._env_steps, self._directory.path)
        with named, self._recorder_now.settled(), finishing(UNDER_WAY, self._finish_evaluation):
            while self._host.agent_steps < self._plan.agent_steps and not (stop.received or self._watchers.stop):
                before = self._env_steps
                self._agent_step()
                self._keep_cadences(before)
            return self._finish(completed=self._host.agent_steps >= self._plan.agent_steps)

    def _agent_step(self) -> None:
        host, plan, overlap = self._host, self._plan, self._config.overlap
        taken, grad_steps, learns = host.action, self._grad_steps, host.agent_steps >= plan.warmup_steps
        self._vector.step_async(taken)
        if learns:
            self._reset_if_due(host.agent_steps + 1)
        if learns and overlap:
            self._state = self._population.learn(self._state, grad_steps)
        step = self._vector.step_wait()
        transition = _transition(taken, step)
        host.record(step, in_warmup=host.agent_steps < plan.random_steps)
        if learns and not overlap:
            self._state, action = self._population.train(self._state, transition, grad_steps)
        else:
            self._state, action = self._population.explore(
                self._state, transition, host.agent_steps < plan.random_steps
            )
        host.action = self._divergence.silence(np.array(action), self._env_steps)
        self._watchers.on_step(lambda: self._view(taken, step))

    def _reset_if_due(self, agent_step: int) -> None:
        """Begin the updates of ``agent_step`` with fresh networks where the algorithm says so."""
        if self._next_reset == agent_step:
            self._state = self._population.restart(self._state)
            self._next_reset = self._plan.next_reset(self._config.algorithm, agent_step)

    def _keep_cadences(self, before: int) -> None:
        """Do what is due after an agent step that began at ``before`` env steps."""
        config, now = self._config, self._env_steps
        diagnoses = bool(config.diagnose_every) and now // config.diagnose_every > before // config.diagnose_every
        # Before the first row of this step is written: whoever is told of an evaluation passes on what there is, and
        # must not meet half of a step. (Diagnostics wait for an evaluation, since they play on the same environments.)
        self._tell_evaluation(wait=diagnoses or self._host.agent_steps >= self._plan.agent_steps)
        self._tell_checkpoint()
        if now // config.log_every > before // config.log_every:
            self._log()
        if diagnoses:
            self._diagnose()
        if now // config.evaluate_every > before // config.evaluate_every:
            self._evaluate(beside=True)
        if now // config.checkpoint_every > before // config.checkpoint_every:
            self._checkpoint()
        if self._progress_pace.seconds > _PROGRESS_SECONDS:
            self._report_progress()

    def _finish(self, completed: bool) -> RunFinished:
        self._tell_evaluation(wait=True)
        last = self._recorder_now.last_evaluation
        if completed and (last is None or last.env_steps != self._env_steps):
            self._evaluate()
            self._checkpoint()
        elif self._recorder_now.checkpoint_env_steps != self._env_steps:
            self._checkpoint()
        self._tell_checkpoint(wait=True)
        finished = RunFinished(
            path=self._directory.path,
            env_steps=self._env_steps,
            completed=completed,
            wall_seconds=self._wall_seconds,
            final=self._recorder_now.last_evaluation if completed else None,
            random_return=self._host.mean_random_return,
        )
        self._watchers.on_finish(finished)
        return finished

    # ---------------------------------------------------------------- counters

    @property
    def _env_steps(self) -> int:
        return self._host.agent_steps * self._plan.action_repeat

    @property
    def _grad_steps(self) -> int:
        return self._config.algorithm.utd * max(0, self._host.agent_steps - self._plan.warmup_steps)

    @property
    def _wall_seconds(self) -> float:
        return self._host.wall_seconds + time.monotonic() - self._began

    def _counts(self) -> dict[str, int | float]:
        return {
            "env_steps": self._env_steps,
            "agent_steps": self._host.agent_steps,
            "grad_steps": self._grad_steps,
            "wall_seconds": round(self._wall_seconds, 3),
        }

    # ---------------------------------------------------------------- what is due

    def _log(self) -> None:
        self._state, sums, norms = self._population.take_metrics(self._state)
        speeds = self._log_pace.lap(self._host.agent_steps)
        counts = {**self._counts(), **speeds._asdict()}
        self._recorder_now.training(counts, self._host, sums, norms)

    def _evaluate(self, beside: bool = False) -> None:
        """Evaluate; ``beside`` training where that is how this run does it, otherwise before anything else happens."""
        self._tell_evaluation(wait=True)
        if beside and self._evaluations.beside:
            self._evaluations.begin(self._state.learner, self._counts(), self._divergence.lost)
        else:
            divergence = Divergence(self._plan.seeds, self._tell_lost, self._divergence.lost)
            episodes = self._evaluations.play(self._state.learner, divergence, self._env_steps)
            self._watchers.on_evaluation(self._recorder_now.evaluation(self._counts(), episodes))

    def _tell_evaluation(self, wait: bool = False) -> None:
        """Tell of the evaluation that is over, if any; ``wait`` for the one that is under way."""
        if (played := self._take_evaluation(wait)) is not None:
            self._watchers.on_evaluation(self._record(played))

    def _take_evaluation(self, wait: bool) -> Played | None:
        try:
            return self._evaluations.take(wait)
        finally:
            for index, line in self._evaluations.said():
                self._tell_lost(index, line)

    def _record(self, played: Played) -> EvaluationDone:
        """Write the rows, and the checkpoint that waits for them."""
        event = self._recorder_now.evaluation(played.counts, played.episodes)
        self._recorder_now.write()
        return event

    def _finish_evaluation(self) -> None:
        """Wait for the evaluation that is under way if a checkpoint waits for it, and write both."""
        if self._recorder_now.holds and (played := self._take_evaluation(wait=True)) is not None:
            self._record(played)

    def _diagnose(self) -> None:
        vector = self._evaluations.make().vector
        self._diagnosis = self._diagnosis or Diagnosis(self._population, vector, self._config.curvature)
        self._recorder_now.diagnosis(self._diagnosis.rows(self._state, self._counts()))

    def _make_recorder(self, directory: RunDirectory) -> RunWriter:
        learner = self._population.learner
        return RunWriter(directory, self._config, self._plan, self._task, self._vector, learner)

    def _checkpoint(self) -> None:
        """Begin one; it is written while the run goes on, once the evaluation that is under way is part of it."""
        self._tell_checkpoint(wait=True)
        self._recorder_now.checkpoint(self._env_steps, self._state, self._host, self._wall_seconds)
        if not self._evaluations.under_way:
            self._recorder_now.write()

    def _tell_checkpoint(self, wait: bool = False) -> None:
        """Tell of the checkpoint that has come to be on disk, if any; ``wait`` for the one that is to get there."""
        if wait and self._recorder_now.holds:
            self._tell_evaluation(wait=True)
        env_steps = self._recorder_now.checkpoint_env_steps
        if self._recorder_now.written(wait):
            assert env_steps is not None
            self._watchers.on_checkpoint(CheckpointSaved(self._directory.path, env_steps))

    def _view(self, taken: np.ndarray, step: VectorStep) -> StepView:
        return StepView(
            env_steps=self._env_steps,
            agent_steps=self._host.agent_steps,
            grad_steps=self._grad_steps,
            seeds=self._plan.seeds,
            observation=step.observation,
            action=taken,
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
        )

    def _report_progress(self) -> None:
        speeds = self._progress_pace.lap(self._host.agent_steps)
        left = (self._plan.agent_steps * self._plan.action_repeat - self._env_steps) * len(self._plan.seeds)
        in_warmup = self._grad_steps == 0
        self._watchers.on_progress(
            Progress(
                env_steps=self._env_steps,
                agent_steps=self._host.agent_steps,
                grad_steps=self._grad_steps,
                **speeds._asdict(),
                # The warm-up's speed says nothing about what comes after it.
                seconds_left=None
                if in_warmup or not speeds.env_steps_per_second
                else left / speeds.env_steps_per_second,
                episode_returns=tuple(None if np.isnan(r) else float(r) for r in self._host.last_return),
            )
        )

    @property
    def _recorder_now(self) -> RunWriter:
        assert self._recorder is not None, "start or restore comes first"
        return self._recorder


def _transition(actions: np.ndarray, step: VectorStep) -> Transition:
    """Return what the learner sees of a step [S, ...]. A time limit ends the episode but does not terminate it."""
    return Transition(
        action=actions,
        reward=step.reward,
        next_observation=step.next_observation,
        terminated=step.terminated,
        observation=step.observation,
        ended=step.ended,
    )
