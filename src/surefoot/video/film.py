"""From a policy to the pictures of its episodes, in real time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from surefoot.errors import UserError
from surefoot.policy import Policy
from surefoot.tasks import Task, make_vector
from surefoot.tasks.rendering import Camera, View
from surefoot.tasks.wrappers import Advance, Simulation

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Shot:
    """One frame of an episode and what is known at that moment.

    Attributes:
        picture: [H, W, 3] uint8, in the size that the camera gives.
        env_steps: control steps since the episode began.
        episode_return: sum of the rewards so far.
        solved: whether the task counts as solved in this state; False where it defines no success.
    """

    picture: np.ndarray
    env_steps: int
    episode_return: float
    solved: bool


@dataclass(frozen=True)
class Pace:
    """How simulated time becomes frames.

    Attributes:
        fps: frames per second of the video.
        frames_per_step: frames per control step, below 1 where steps are left out, above 1 where they are repeated.
    """

    fps: float
    frames_per_step: float

    def frames(self, env_steps: int) -> int:
        """Return how many frames show the first `env_steps` control steps; frame 0 is the initial state."""
        return math.floor(env_steps * self.frames_per_step + _ROUNDING) + 1


def real_time(step_seconds: float | None, fps: float | None, most_fps: float) -> Pace:
    """Return the pace at which a second of the video is a second of the simulation.

    Args:
        step_seconds: simulated time of a control step; None, where nobody knows it, makes every step one frame.
        fps: what the user wants; None takes every step, every second, every third ..., so that motion is even.
        most_fps: what the format can show, for None.
    """
    if step_seconds is None:
        return Pace(min(30.0, most_fps) if fps is None else float(fps), 1.0)
    if fps is not None:
        return Pace(float(fps), fps * step_seconds)
    stride = max(1, math.ceil(1.0 / (step_seconds * most_fps) - _ROUNDING))
    return Pace(1.0 / (step_seconds * stride), 1.0 / stride)


class FilmedSimulation:
    """A simulation that has its picture taken as it goes: also in between decisions, where actions are repeated."""

    def __init__(self, simulation: Simulation, view: View) -> None:
        """Take over `simulation`.

        Raises:
            UserError: it cannot be rendered so.
        """
        self._simulation = simulation
        try:
            self._camera = simulation.camera(view)
        except BaseException:
            simulation.close()
            raise
        self.observation_size, self.observation_keys = simulation.observation_size, simulation.observation_keys
        self.action_low, self.action_high = simulation.action_low, simulation.action_high
        self.pace = Pace(1.0, 1.0)
        self._env_steps, self._return = 0, 0.0
        self._shots: list[Shot] = []

    def reset(self, seed: int) -> None:
        """Begin an episode, and a new film."""
        self._simulation.reset(seed)
        self._env_steps, self._return = 0, 0.0
        self._shots = [self._shoot()]

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step, and the frames it is worth; the last state of an episode is always worth one."""
        advance = self._simulation.advance(action)
        due = -self.pace.frames(self._env_steps)
        self._env_steps += 1
        self._return += advance.reward
        due += self.pace.frames(self._env_steps)
        if due or advance.terminated or advance.truncated:
            self._shots += [self._shoot()] * max(due, 1)
        return advance

    def take(self) -> list[Shot]:
        """Hand over the frames since the last call."""
        shots, self._shots = self._shots, []
        return shots

    def observe(self) -> np.ndarray:
        """Return the current observation, [O] float32."""
        return self._simulation.observe()

    def solved(self) -> bool:
        """Say whether the task counts as solved in the current state."""
        return self._simulation.solved()

    def control_seconds(self) -> float | None:
        """Return the simulated time of one control step in seconds, None where it is not known."""
        return self._simulation.control_seconds()

    def camera(self, view: View) -> Camera:
        """Return one more camera."""
        return self._simulation.camera(view)

    def close(self) -> None:
        """Free the camera and the simulation."""
        self._camera.close()
        self._simulation.close()

    def _shoot(self) -> Shot:
        return Shot(self._camera.shoot(), self._env_steps, self._return, self._simulation.solved())


class Actor:
    """One policy in an environment of its own, playing the episodes that evaluations play.

    Attributes:
        step_seconds: simulated time of a control step, None where it is not known.
    """

    def __init__(self, policy: Policy, task: Task, action_repeat: int, view: View) -> None:
        """Make the environment.

        Raises:
            UserError: the environment cannot be made, cannot be rendered, or has other sizes than the policy.
            EnvironmentFailure: making it raised something else.
        """
        films: list[FilmedSimulation] = []

        def simulate() -> FilmedSimulation:
            films.append(FilmedSimulation(task.simulate(), view))
            return films[-1]

        filmed = dataclasses.replace(task, simulate=simulate)
        self._vector = make_vector(filmed, [policy.seed], "evaluate", action_repeat=action_repeat, autoreset=False)
        self._policy, self._film = policy, films[0]
        self.step_seconds = self._film.control_seconds()
        for what in ("observation_size", "action_size"):
            if (found := getattr(self._vector, what)) != (expected := getattr(policy, what)):
                self.close()
                raise UserError(f"task '{task.name}' has {what} {found}, but the policy was trained with {expected}")

    def episode(self, number: int, pace: Pace) -> Iterator[Shot]:
        """Play evaluation episode `number` with the deterministic action, and yield its frames."""
        self._film.pace = pace
        observation, playing = self._vector.reset([number]), True
        yield from self._film.take()
        while playing:
            step = self._vector.step(self._act(observation))
            yield from self._film.take()
            observation, playing = step.observation, not step.ended[0]

    def _act(self, observation: np.ndarray) -> np.ndarray:
        """Return the actions [1, A] in [-1, 1], with the arithmetic of an evaluation, so that returns are the same."""
        low, high = self._policy.action_low, self._policy.action_high
        return 2.0 * (self._policy(observation) - low) / (high - low) - 1.0

    def close(self) -> None:
        """Close the environment."""
        self._vector.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
