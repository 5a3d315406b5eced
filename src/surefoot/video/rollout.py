"""Rendered rollouts of policies in real time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from surefoot.errors import UserError
from surefoot.policy import Policy
from surefoot.spaces import policy_view
from surefoot.tasks import Task, make_vector
from surefoot.tasks.rendering import Camera, View
from surefoot.tasks.wrappers import Advance, Simulation

_ROUNDING = 1e-9

MAX_EPISODE_STEPS = 100_000
"""Env steps after which an episode is given up, as in evaluations."""


@dataclass(frozen=True)
class Frame:
    """One frame of an episode.

    Attributes:
        image: [H, W, 3] uint8, in the camera's size.
        env_steps: Control steps since the start of the episode.
        episode_return: Sum of the rewards so far.
        solved: Whether the task counts as solved in this state; False where the environment does not report it.
    """

    image: np.ndarray
    env_steps: int
    episode_return: float
    solved: bool


@dataclass(frozen=True)
class Pace:
    """Mapping of simulated time to frames.

    Attributes:
        fps: Frames per second of the video.
        frames_per_step: Frames per control step; steps are omitted below 1 and repeated above.
    """

    fps: float
    frames_per_step: float

    def frames(self, env_steps: int) -> int:
        """Return the number of frames for the first `env_steps` control steps, with the initial state as frame 0."""
        return math.floor(env_steps * self.frames_per_step + _ROUNDING) + 1


def real_time(step_seconds: float | None, fps: float | None, max_fps: float) -> Pace:
    """Return the pace at which video time equals simulated time.

    Args:
        step_seconds: Simulated time of a control step; if None, every step is one frame.
        fps: Requested frames per second; None takes every k-th step, so that motion is even.
        max_fps: Highest rate if `fps` is None.
    """
    if step_seconds is None:
        return Pace(min(30.0, max_fps) if fps is None else float(fps), 1.0)
    if fps is not None:
        return Pace(float(fps), fps * step_seconds)
    stride = max(1, math.ceil(1.0 / (step_seconds * max_fps) - _ROUNDING))
    return Pace(1.0 / (step_seconds * stride), 1.0 / stride)


class RenderedSimulation:
    """A simulation that is rendered in every control step, also within an action repeat."""

    def __init__(self, simulation: Simulation, view: View) -> None:
        """Wrap `simulation`.

        Raises:
            UserError: It cannot be rendered in this view.
        """
        self._simulation = simulation
        try:
            self._camera = simulation.camera(view)
        except BaseException:
            simulation.close()
            raise
        self.spaces = simulation.spaces
        self.pace = Pace(1.0, 1.0)
        self._env_steps, self._return = 0, 0.0
        self._frames: list[Frame] = []

    def reset(self, seed: int) -> None:
        """Start an episode and discard the frames of the previous one."""
        self._simulation.reset(seed)
        self._env_steps, self._return = 0, 0.0
        self._frames = [self._render()]

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step and render its frames; the last state of an episode has at least one."""
        advance = self._simulation.advance(action)
        due = -self.pace.frames(self._env_steps)
        self._env_steps += 1
        self._return += advance.reward
        due += self.pace.frames(self._env_steps)
        if due or advance.terminated or advance.truncated:
            self._frames += [self._render()] * max(due, 1)
        return advance

    def pop_frames(self) -> list[Frame]:
        """Return and clear the frames since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def observe(self) -> np.ndarray:
        """Return the current observation, [O] float32."""
        return self._simulation.observe()

    def solved(self) -> bool | None:
        """Return whether the task counts as solved in the current state; None if the environment does not report it."""
        return self._simulation.solved()

    def control_seconds(self) -> float | None:
        """Return the simulated time of one control step in seconds, or None."""
        return self._simulation.control_seconds()

    def camera(self, view: View) -> Camera:
        """Return another camera."""
        return self._simulation.camera(view)

    def close(self) -> None:
        """Free the camera and the simulation."""
        self._camera.close()
        self._simulation.close()

    def _render(self) -> Frame:
        return Frame(self._camera.render(), self._env_steps, self._return, bool(self._simulation.solved()))


class Rollout:
    """Evaluation episodes of one policy in its own rendered environment.

    Attributes:
        step_seconds: Simulated time of a control step, or None.
    """

    def __init__(self, policy: Policy, task: Task, action_repeat: int, view: View) -> None:
        """Make the environment.

        Raises:
            UserError: The environment cannot be made or rendered, or has other spaces than the policy.
            EnvironmentFailure: Making it raised another exception.
        """
        simulations: list[RenderedSimulation] = []

        def simulate() -> RenderedSimulation:
            simulations.append(RenderedSimulation(task.simulate(rendered=True), view))
            return simulations[-1]

        rendered = dataclasses.replace(task, simulate=simulate, pool=None, jax=None)
        self._vector = make_vector(rendered, [policy.seed], "evaluate", action_repeat=action_repeat, autoreset=False)
        self._policy, self._simulation = policy, simulations[0]
        self.step_seconds = self._simulation.control_seconds()
        try:
            self._seen = policy_view(policy.spaces, self._vector.spaces, "the policy", task.name)
        except UserError:
            self.close()
            raise

    def episode(self, number: int, pace: Pace) -> Iterator[Frame]:
        """Play evaluation episode `number` with deterministic actions and yield its frames.

        Raises:
            UserError: It has no end.
        """
        self._simulation.pace = pace
        observation, playing, env_steps = self._vector.reset([number]), True, 0
        yield from self._simulation.pop_frames()
        while playing:
            step = self._vector.step(self._policy.unit_action(observation[:, self._seen]))
            yield from self._simulation.pop_frames()
            observation, playing = step.observation, not step.ended[0]
            env_steps += int(step.env_steps[0])
            if playing and env_steps >= MAX_EPISODE_STEPS:
                raise UserError(
                    f"episode {number} has not ended after {env_steps:,} env steps: give the environment a time limit, "
                    "such as gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)"
                )

    def close(self) -> None:
        """Close the environment."""
        self._vector.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
