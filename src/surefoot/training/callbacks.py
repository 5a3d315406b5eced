"""A user's own code inside a run: look at every step, act on evaluations, stop early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.training.events import CheckpointSaved, EvaluationDone, RunFinished, RunStarted


class StopTraining(Exception):
    """Raised by a callback to end the run here, with a checkpoint, as a signal would: ``resume`` can go on later."""


@dataclass(frozen=True)
class StepView:
    """One agent step of all S seeds, for looking at: the arrays are read-only and only valid during the call.

    Attributes:
        env_steps, agent_steps, grad_steps: per seed, this step included.
        seeds: the S training seeds.
        observation: [S, O] what the agents act on next.
        action: [S, A] in [-1, 1], the actions taken.
        reward: [S], summed over the action repeat.
        terminated, truncated: [S] bool.
    """

    env_steps: int
    agent_steps: int
    grad_steps: int
    seeds: tuple[int, ...]
    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Callback:
    """Override what you need; each method does nothing otherwise.

    A callback cannot change what is trained. What it raises ends the run and reaches the caller of ``train``, with the
    last checkpoint intact; ``StopTraining`` ends it in good order.
    """

    def on_start(self, event: RunStarted) -> None:
        """The run begins, or goes on."""

    def on_step(self, view: StepView) -> None:
        """After every agent step: this is inside the training loop, so be quick."""

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation; its rows are on disk."""

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        """After every checkpoint."""

    def on_finish(self, event: RunFinished) -> None:
        """The run reached its last step, or was stopped in good order."""
