"""Probe environments learned to the values known on paper, by the plain setting and by CrossQ + WN."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import AdamW, Algorithm, Temperature
from surefoot.runs import RunDirectory
from surefoot.tasks import get_task
from surefoot.tasks.probes import PROBES
from surefoot.training.callbacks import Watchers
from surefoot.training.config import TrainConfig
from surefoot.training.loop import TrainingLoop
from surefoot.training.setup import make_plan
from surefoot.training.signals import StopSignal
from tests.training.recording import Recording
from tests.training.small import small

# An entropy bonus would come on top of the values known on paper, so there is next to none here; the target network
# follows faster than usual, because these runs are short.
QUICK = {
    "critic_optimizer": AdamW(learning_rate=3e-3),
    "actor_optimizer": AdamW(learning_rate=3e-3),
    "temperature": Temperature(initial=1e-4, optimizer=AdamW(learning_rate=1e-6)),
    "target": surefoot.algorithms.PolyakTarget(tau=0.05),
    "batch_size": 64,
    "utd": 4,
}
ALGORITHMS = {
    "sac": small(surefoot.sac(), width=32, **QUICK),
    "crossq-wn": small(surefoot.crossq_wn(), width=32, **QUICK),
}


def train(probe: str, algorithm: Algorithm, out: Path) -> TrainingLoop:
    task = get_task(probe)
    config = TrainConfig(
        probe, algorithm, env_steps=900, replay_capacity=900, out=out, evaluate_every=900, evaluation_episodes=1
    )
    with TrainingLoop.make(config, make_plan(config, task), task, Watchers(Recording())) as loop:
        directory = RunDirectory.create(out, {})
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            loop.run(stop)
    return loop


def stored(loop: TrainingLoop) -> np.ndarray:
    """Observations [N, O] of the newest transitions."""
    replay = jax.tree.map(lambda leaf: np.asarray(leaf[0]), loop._state.replay)
    newest = np.arange(int(replay.num_transitions) - 200, int(replay.num_transitions))
    return replay.frames[replay.frame_of[newest % len(replay.rewards)] % len(replay.frames)]


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("probe", PROBES)
def test_probe_is_learned_to_its_known_value(probe: str, name: str, tmp_path: Path) -> None:
    loop = train(probe, ALGORITHMS[name], tmp_path / "run")
    learner = jax.tree.map(lambda leaf: leaf[0], loop._state.learner)
    observation = stored(loop)
    functions = loop._population.learner
    actor = functions.act_deterministic(learner, observation)
    q = np.asarray(functions.critic.evaluate(learner.critic, observation, actor))[..., 0].min(axis=0)
    expected = PROBES[probe].optimal_value(observation, get_task(probe).discount)
    scale = max(1.0, float(np.abs(expected).max()))
    assert float(np.mean(np.abs(q - expected))) < 0.1 * scale
    best = PROBES[probe].optimal_action(observation)
    if best is not None:
        assert float(np.mean(np.abs(np.asarray(actor) - best))) < 0.15
