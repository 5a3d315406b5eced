"""Short runs on probe environments, and their distance from the analytic values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    LearnerState,
    PolyakTarget,
    QuantileHuber,
    ResetAt,
    ResetEvery,
)
from surefoot.algorithms.presets import get_preset
from surefoot.networks import MLP, BatchRenorm, TorsoConfig
from surefoot.runs import RunDirectory
from surefoot.signals import StopSignal
from surefoot.tasks import get_task
from surefoot.tasks.probes import PROBES
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.config import TrainConfig
from surefoot.training.config_file import describe_run
from surefoot.training.loop import TrainingLoop
from surefoot.training.plan import make_plan
from tests.training.recording import Recording

WIDTH, UTD, WARMUP, AGENT_STEPS = 32, 4, 100, 900
RESET = 501
"""Agent step of the reset in presets with resets."""


class Trained(NamedTuple):
    """Finished run of one seed."""

    loop: TrainingLoop
    learner: LearnerState
    path: Path


def quick(name: str) -> Algorithm:
    """Return a preset that learns a probe in seconds, with all its parts.

    Networks are narrow, learning rates high, resets early and the target network fast. The temperature is almost zero,
    since the analytic values do not include an entropy bonus.
    """
    algorithm = get_preset(name, utd=UTD)
    changes: dict[str, Any] = {
        "actor": _narrow(algorithm.actor),
        "critic": _narrow(algorithm.critic),
        "actor_optimizer": _fast(algorithm.actor_optimizer),
        "critic_optimizer": _fast(algorithm.critic_optimizer),
        "batch_size": 64,
        "warmup_transitions": WARMUP,
    }
    if (temperature := algorithm.temperature) is not None:
        frozen = dataclasses.replace(temperature.optimizer, learning_rate=1e-6)
        changes["temperature"] = dataclasses.replace(temperature, initial=1e-4, optimizer=frozen)
    if algorithm.target is not None:
        changes["target"] = PolyakTarget(tau=0.05)
    if isinstance(algorithm.critic_loss, QuantileHuber):  # cost is quadratic in the quantiles
        changes["critic_loss"] = dataclasses.replace(algorithm.critic_loss, num_quantiles=16)
    if (optimism := algorithm.optimism) is not None:
        changes["optimism"] = dataclasses.replace(
            optimism, torso=_narrow(optimism.torso), optimizer=_fast(optimism.optimizer)
        )
    match algorithm.resets:
        case ResetAt():
            changes["resets"] = ResetAt((RESET,))
        case ResetEvery():
            changes["resets"] = ResetEvery(grad_steps=UTD * (RESET - 1 - WARMUP))
    return algorithm.replace(**changes)


def checkpoint_step(algorithm: Algorithm) -> int:
    """Return the agent step of a run's last checkpoint but one, from which a resumed run repeats the rest.

    It is before the reset, or else late and within an episode where episodes take several steps.
    """
    return 803 if algorithm.resets is None else RESET - 51


def _narrow(torso: TorsoConfig) -> TorsoConfig:
    if not isinstance(torso, MLP):
        return dataclasses.replace(torso, width=WIDTH)
    norm = torso.norm
    if isinstance(norm, BatchRenorm):  # so that most of the run is renormalised
        norm = dataclasses.replace(norm, warmup_updates=400)
    return dataclasses.replace(torso, widths=(WIDTH,) * len(torso.widths), norm=norm)


def _fast(optimizer: AdamW) -> AdamW:
    rate = optimizer.learning_rate
    fast = 3e-3 if isinstance(rate, float) else type(rate)(3e-3, 3e-4, agent_steps=AGENT_STEPS - WARMUP)
    return dataclasses.replace(optimizer, learning_rate=fast)


def train(probe: str, algorithm: Algorithm, out: Path) -> Trained:
    """Train one seed from the first step to the last."""
    task = get_task(probe)
    config = TrainConfig(
        probe,
        algorithm,
        env_steps=AGENT_STEPS,
        evaluate_every=AGENT_STEPS,
        evaluation_episodes=1,
        checkpoint_every=checkpoint_step(algorithm),
        diagnose_every=0,
        out=out,
    )
    plan = make_plan(config, task)
    with TrainingLoop.make(config, plan, task, EventDispatcher(Recording())) as loop:
        directory = RunDirectory.create(out, describe_run(config, plan, task, loop.spaces))
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            loop.run(stop)
    return Trained(loop, jax.tree.map(lambda leaf: leaf[0], loop._state.learner), out)


def assert_known_value(probe: str, trained: Trained) -> None:
    """Every critic's mean error on stored observations is small, and the policy is close to optimal."""
    learner, functions = trained.learner, trained.loop._population.learner
    observation = _stored(trained.loop)
    actor = functions.act_deterministic(learner, observation)
    normalized = functions.statistics.normalize(learner, observation)
    q = np.asarray(functions.algorithm.critic_loss.value(functions.critic.evaluate(learner.critic, normalized, actor)))
    q = q / float(functions.statistics.scale_reward(learner, jnp.ones(())))  # Q is of scaled rewards
    expected = PROBES[probe].optimal_value(observation, functions.discount)
    scale = max(1.0, float(np.abs(expected).max()))
    assert (np.mean(np.abs(q - expected), axis=-1) < 0.1 * scale).all()
    best = PROBES[probe].optimal_action(observation)
    if best is not None:
        assert float(np.mean(np.abs(np.asarray(actor) - best))) < 0.15


def _stored(loop: TrainingLoop) -> np.ndarray:
    """Observations [N, O] of the newest transitions."""
    replay = jax.tree.map(lambda leaf: np.asarray(leaf[0]), loop._state.replay)
    newest = np.arange(int(replay.num_transitions) - 200, int(replay.num_transitions))
    return replay.frames[replay.frame_of[newest % len(replay.rewards)] % len(replay.frames)]
