"""The training loop: step, log, evaluate, checkpoint.

A vector step is one decision in each of the K environments: one jitted call (two where environments and updates
overlap), and nothing in Python runs per gradient update. Environments written in JAX take many vector steps in one
call (``compiled_steps.py``). Between two vector steps, everything the rest of the run
depends on is in ``PopulationState`` (device), ``HostState`` (host) and, for environments written in JAX, the vector's
state; a checkpoint consists of these.
"""

from __future__ import annotations

import contextlib
import time
from typing import Self

import numpy as np

from surefoot.machine import device_name, resolve_precision
from surefoot.runs import RunDirectory
from surefoot.signals import StopSignal
from surefoot.simulators.vector import JaxVectorEnv
from surefoot.spaces import EnvSpaces
from surefoot.tasks import Task, VectorEnv, VectorStep, make_vector
from surefoot.training.callbacks import EventDispatcher, StepView
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.compiled_steps import CompiledSteps
from surefoot.training.config import TrainConfig
from surefoot.training.counters import Counters
from surefoot.training.diagnosis import Diagnosis
from surefoot.training.divergence import Divergence
from surefoot.training.evaluation import Evaluator
from surefoot.training.events import CheckpointSaved, RunFinished, RunStarted
from surefoot.training.memory import check_memory, replay_bytes, replay_frames
from surefoot.training.plan import Plan, slow_temperature, unreached_resets
from surefoot.training.population import PopulationState, get_population
from surefoot.training.run_writer import RunWriter
from surefoot.training.runtime.compile_ahead import CompileAhead, train_programs
from surefoot.training.runtime.failures import explain_step_failures
from surefoot.training.runtime.pace import Pace
from surefoot.training.warm_start.warm_start import WarmStart
from surefoot.types import EnvSpec, Transition

_PROGRESS_SECONDS = 0.25


class TrainingLoop:
    """One run from its first or restored step to its last, in a ``with`` block. It owns the environments.

    Args:
        config: Configuration of the run.
        plan: Its resolved numbers.
        task: Training task.
        vector: K training environments.
        evaluator: Evaluation environments.
        events: Receivers of events.
    """

    def __init__(
        self,
        config: TrainConfig,
        plan: Plan,
        task: Task,
        vector: VectorEnv,
        evaluator: Evaluator,
        events: EventDispatcher,
    ) -> None:
        self._config, self._plan, self._task, self._events = config, plan, task, events
        self._vector, self._evaluator = vector, evaluator
        self._spec = _spec_of(vector, config)
        self._population = get_population(
            config.algorithm, self._spec, plan.discount, resolve_precision(config.precision)
        )
        self._compiled = None
        if isinstance(vector, JaxVectorEnv):
            self._compiled = CompiledSteps(self._population, vector, plan, config.algorithm.utd)
        self._diagnosis = Diagnosis(self._population, plan.seeds, evaluator.vector, config.curvature)
        self._warm_start: WarmStart | None = None
        self._ahead = CompileAhead({})
        self._open = contextlib.ExitStack()
        self._writer: RunWriter
        self._state: PopulationState
        self._host: HostState
        self._divergence: Divergence
        self._counters: Counters
        self._start_time = time.monotonic()

    @classmethod
    def make(cls, config: TrainConfig, plan: Plan, task: Task, events: EventDispatcher) -> Self:
        """Make the environments, then the loop."""
        if task.observation_size is not None and task.action_size is not None:
            # Before many environments are built, which can take minutes.
            check_memory(plan, task, EnvSpec(task.observation_size, task.action_size))
        with contextlib.ExitStack() as opened:
            vector = opened.enter_context(
                make_vector(
                    task,
                    plan.slot_seeds,
                    "train",
                    action_repeat=plan.action_repeat,
                    num_workers=config.env_workers,
                    environments=plan.environments,
                )
            )
            check_memory(plan, task, _spec_of(vector, config))
            evaluator = opened.enter_context(
                Evaluator(task, plan.seeds, config.evaluation_episodes, plan.action_repeat, config.env_workers)
            )
            loop = cls(config, plan, task, vector, evaluator, events)
            loop._open = opened.pop_all()
            return loop

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environments and the CSV files."""
        self._open.close()

    # ---------------------------------------------------------------- start

    @property
    def spaces(self) -> EnvSpaces:
        """Observations and actions of the training environments."""
        return self._vector.spaces

    def prepare(self, warm_start: WarmStart) -> None:
        """Check a warm start against the environment, before anything is written.

        Raises:
            UserError: It does not fit.
        """
        warm_start.fit(self._population.learner, len(self._plan.seeds), self._vector, self._task, self._plan)
        self._warm_start = warm_start

    def start(self, directory: RunDirectory) -> None:
        """Start at step 0, in a locked directory."""
        self._open_writer(directory)
        self._writer.clear()
        observation = self._vector.reset([0] * self._vector.num_envs)
        if self._compiled is None:
            self._compile_ahead(observation)
        self._state, action = self._initialize(observation)
        self._set_host(HostState.start(observation, action, self._plan.num_envs))
        self.announce_start()
        self._evaluate()
        self._checkpoint()
        self._announce_checkpoint(wait=True)  # A failing disk is reported before the first step.

    def restore(self, directory: RunDirectory) -> None:
        """Continue from the last good checkpoint of a locked directory; ``announce_start`` is the next call."""
        self._open_writer(directory)
        self._state, host = self._writer.restore(self._init, self._events.on_message)
        self._set_host(host)
        if self._compiled is not None:
            return  # the checkpoint had the state of the environments
        abandoned = self._host.restore_episodes(self._vector, self._plan.slot_names, self._events.on_message)
        if abandoned.any():
            self._state = self._population.start_episodes(self._state, self._host.observation, abandoned)

    def _compile_ahead(self, observation: np.ndarray) -> None:
        """Compile the train steps while the networks are initialised and evaluated and the warm-up is taken."""
        shapes = self._population.init_shapes(*self._init_arguments(observation))
        self._ahead = CompileAhead(train_programs(self._population, shapes, self._plan, self._config.overlap))
        self._open.callback(self._ahead.close)

    def _initialize(self, observation: np.ndarray) -> tuple[PopulationState, np.ndarray]:
        """Return the state before the first step, and first actions [K, A], for first observations [K, O]."""
        state = self._init(observation)
        if self._warm_start is not None:
            for line in self._warm_start.messages:
                self._events.on_message(line)
            state = self._warm_start.apply(state, observation)
        state, action = self._population.act(state, observation, uniform=self._plan.random_steps > 0)
        return state, np.array(action)

    def _init(self, observation: np.ndarray | None = None) -> PopulationState:
        return self._population.init(*self._init_arguments(observation))

    def _init_arguments(
        self, observation: np.ndarray | None
    ) -> tuple[tuple[int, ...], int, int, np.ndarray | None, int]:
        plan, frames = self._plan, replay_frames(self._plan, self._task)
        return plan.seeds, plan.ring_capacity, frames, observation, plan.num_envs

    def _set_host(self, host: HostState) -> None:
        self._host = host
        self._divergence = Divergence(self._plan.seeds, host.diverged, self._events.on_message)
        self._counters = Counters(self._plan, self._config.algorithm.utd, host, self._start_time)

    def _open_writer(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._writer = RunWriter(
            directory, self._config, self._plan, self._task, self._vector, self._population.learner
        )
        self._open.callback(self._writer.close)

    def announce_start(self) -> None:
        """Tell observers that training begins or continues."""
        started = RunStarted(
            path=self._directory.path,
            task=self._task.name,
            algorithm=self._config.algorithm.name,
            utd=self._config.algorithm.utd,
            seeds=self._plan.seeds,
            num_envs=self._plan.num_envs,
            engine=self._task.engine,
            env_steps=self._plan.agent_steps * self._plan.action_repeat,
            start_env_steps=self._counters.env_steps,
            device=device_name(),
            replay_bytes=replay_bytes(self._plan, self._task, self._spec),
            env_workers=self._vector.num_workers,
            precision=self._config.precision,
            task_argument=self._task.command_argument,
        )
        self._events.on_start(started)
        notes = (f(self._config.algorithm, self._plan) for f in (unreached_resets, slow_temperature))
        for line in (self._task.note, *notes):
            if line is not None:
                self._events.on_message(line)

    # ---------------------------------------------------------------- run

    def run(self, stop: StopSignal) -> RunFinished:
        """Continue to the last step, or until a signal or a callback stops the run, and write a final checkpoint."""
        before = self._host.agent_steps - self._plan.num_envs + 1  # a reset since then is still due
        self._next_reset = self._plan.next_reset(self._config.algorithm, max(0, before))
        self._log_pace, progress_pace = Pace(self._counters), Pace(self._counters)
        with (
            explain_step_failures(self._task, self._events, lambda: self._counters.env_steps, self._directory.path),
            self._writer.checkpoints.settled(),
        ):
            while not (self._counters.completed or stop.received or self._events.stop):
                before = self._counters.env_steps
                self._advance()
                self._announce_checkpoint()
                due = self._counters.due(before, self._config)
                if due.log:
                    self._log()
                if due.diagnose:
                    self._writer.append_diagnostics(self._diagnosis.rows(self._state, self._counters.row()))
                if due.evaluate:
                    self._evaluate()
                if due.checkpoint:
                    self._checkpoint()
                if progress_pace.seconds > _PROGRESS_SECONDS:
                    self._events.on_progress(progress_pace.progress(self._host.last_returns))
            if self._writer.checkpoints.env_steps != self._counters.env_steps:
                self._checkpoint()
            self._announce_checkpoint(wait=True)
            return self._finish()

    def _advance(self) -> None:
        """Take one vector step, or many where the environments are part of the compiled program."""
        if self._compiled is None:
            self._vector_step()
            return
        host, plan = self._host, self._plan
        self._reset_networks_if_due()
        limit = self._counters.vector_steps_to_due(self._config)
        if self._next_reset is not None:
            limit = min(limit, -(-(self._next_reset - 1 - host.agent_steps) // plan.num_envs))
        self._state, taken, step = self._compiled.run(self._state, host, self._counters.grad_steps, limit)
        self._zero_diverged(host.action)
        self._events.on_step(lambda: StepView.make(self._counters, taken, step))

    def _reset_networks_if_due(self) -> None:
        # A reset that is due within a vector step precedes the next one.
        if self._next_reset is not None and self._next_reset <= self._host.agent_steps + 1:
            self._state = self._population.reset_networks(self._state)
            self._next_reset = self._plan.next_reset(self._config.algorithm, self._host.agent_steps + 1)

    def _zero_diverged(self, action: np.ndarray) -> None:
        by_seed = action.reshape(len(self._plan.seeds), -1)
        self._host.action = self._divergence.zero_diverged(by_seed, self._counters.env_steps).reshape(action.shape)

    def _vector_step(self) -> None:
        host, plan, population = self._host, self._plan, self._population
        taken, grad_steps, updates = host.action, self._counters.grad_steps, self._counters.next_updates
        overlap = updates > 0 and self._config.overlap
        self._vector.step_async(taken)
        self._reset_networks_if_due()
        if overlap:
            self._ahead.wait((updates, False))
            self._state = population.update(self._state, grad_steps, updates)
        step = self._vector.step_wait()
        host.advance(step, in_warmup=host.agent_steps < plan.random_steps)
        updates, uniform = 0 if overlap else updates, host.agent_steps < plan.random_steps
        self._ahead.wait((updates, uniform))
        self._state, action = population.train_step(
            self._state, _transition(taken, step), grad_steps, num_updates=updates, uniform=uniform
        )
        self._zero_diverged(np.array(action))
        self._events.on_step(lambda: StepView.make(self._counters, taken, step))

    def _log(self) -> None:
        self._state, sums, norms = self._population.take_metrics(self._state)
        speeds = self._log_pace.lap()
        self._writer.append_training({**self._counters.row(), **speeds._asdict()}, self._host, sums, norms)

    def _evaluate(self) -> None:
        divergence = self._divergence.fork()

        def act(observation: np.ndarray) -> np.ndarray:
            action = self._population.act_deterministic(self._state.learner, observation)
            return divergence.zero_diverged(action.copy(), self._counters.env_steps)

        result = self._evaluator.run(act, self._host.has_success)
        self._host.has_success = result.success_any is not None
        result.returns[divergence.diverged] = np.nan
        self._events.on_evaluation(self._writer.append_evaluation(self._counters.row(), result))

    def _checkpoint(self) -> None:
        """Copy the state; it is written while the run continues."""
        self._announce_checkpoint(wait=True)
        self._writer.save_checkpoint(self._counters.env_steps, self._state, self._host, self._counters.wall_seconds)

    def _announce_checkpoint(self, wait: bool = False) -> None:
        """Report the checkpoint that has been written since, if any; ``wait`` for the one being written."""
        env_steps = self._writer.checkpoints.env_steps
        if self._writer.checkpoints.finished(wait) and env_steps is not None:
            self._events.on_checkpoint(CheckpointSaved(self._directory.path, env_steps))

    def _finish(self) -> RunFinished:
        finished = RunFinished(
            path=self._directory.path,
            env_steps=self._counters.env_steps,
            completed=self._counters.completed,
            wall_seconds=self._counters.wall_seconds,
            final=self._writer.last_evaluation if self._counters.completed else None,
            random_return=self._host.mean_random_return,
        )
        self._events.on_finish(finished)
        return finished


def _spec_of(vector: VectorEnv, config: TrainConfig) -> EnvSpec:
    """Return the sizes of the environment, and what each network receives."""
    spaces = vector.spaces
    actor, critic = (
        None if keys is None else spaces.columns(spaces.select(keys, name))
        for name, keys in (("actor_keys", config.actor_keys), ("critic_keys", config.critic_keys))
    )
    return EnvSpec(spaces.observation_size, spaces.action.size, spaces.stored_dtype, actor, critic)


def _transition(actions: np.ndarray, step: VectorStep) -> Transition:
    return Transition(
        action=actions,
        reward=step.reward,
        next_observation=step.next_observation,
        terminated=step.terminated,
        observation=step.observation,
        ended=step.ended,
    )
