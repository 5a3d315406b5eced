"""Replay log and arrays of checkpoints."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot import replay
from surefoot.errors import UserError
from surefoot.replay import ReplayState
from surefoot.training.checkpointing.arrays import arrays_to_tree, tree_to_arrays
from surefoot.training.checkpointing.replay_log import (
    NOTHING,
    ReplayRings,
    oldest_transition,
    replay_mark,
    replay_since,
    segment_mark,
)
from surefoot.types import EnvSpec, Transition

SPEC = EnvSpec(3, 2)
SEEDS = 2
_add = jax.jit(jax.vmap(replay.add))


def fresh(capacity: int, dtype: str = "float32") -> ReplayState:
    frames, spec = replay.frame_capacity(capacity, None), SPEC._replace(stored_dtype=dtype)
    return jax.vmap(lambda first: replay.init(spec, capacity, frames, first))(jnp.zeros((SEEDS, 3)))


def grow(state: ReplayState, steps: int, random: np.random.Generator) -> ReplayState:
    """Add random transitions; episodes end at different times in different seeds."""
    for _ in range(steps):
        ended = random.random(SEEDS) < 0.2
        following, first = random.normal(size=(2, SEEDS, 3)).astype(np.float32)
        if state.frames.dtype == np.uint8:
            following, first = np.abs(following * 50).round(), np.abs(first * 50).round()
        transition = Transition(
            action=random.normal(size=(SEEDS, 2)).astype(np.float32),
            reward=random.normal(size=SEEDS).astype(np.float32),
            next_observation=following,
            terminated=ended & (random.random(SEEDS) < 0.5),
            observation=np.where(ended[:, None], first, following),
            ended=ended,
        )
        state = _add(state, transition)
    return state


def counters(state: ReplayState) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(state, name)) for name in ("num_frames", "num_transitions", "oldest")}


def newest(state: ReplayState) -> np.ndarray:
    """The observation to act on, per seed."""
    last = (np.asarray(state.num_frames) - 1) % state.frames.shape[1]
    return np.asarray(state.frames)[np.arange(SEEDS), last]


def restore(like: ReplayState, counts: dict, log: list[dict], observation: np.ndarray) -> ReplayState:
    rings = ReplayRings(jax.eval_shape(lambda: like))
    for segment in log:
        rings.write(segment)
    return rings.finish(counts, observation)


def stored(state: ReplayState, seed: int) -> list[tuple]:
    """Transitions of one seed, oldest first."""
    one = jax.tree.map(lambda leaf: np.asarray(leaf[seed]), state)
    capacity, ring = len(one.rewards), len(one.frames)
    found = []
    for number in range(int(one.oldest), int(one.num_transitions)):
        at = number % capacity
        frame = one.frame_of[at]
        observations = (one.frames[frame % ring].tolist(), one.frames[(frame + 1) % ring].tolist())
        found.append((*observations, one.actions[at].tolist(), float(one.rewards[at]), bool(one.terminated[at])))
    return found


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("lengths", [[5], [0, 3, 0, 4], [8, 8, 8, 8], [50], [7, 30, 1, 1, 13]])
def test_log_of_segments_restores_the_ring(lengths: list[int], dtype: str) -> None:
    random = np.random.default_rng(sum(lengths))
    state, mark, log = fresh(12, dtype), NOTHING, []
    for steps in lengths:
        state = grow(state, steps, random)
        if replay_mark(state).transitions == mark.transitions:
            continue
        log.append(replay_since(state, mark))
        assert int(log[-1]["start"]) >= mark.transitions
        assert log[-1]["frames"].dtype == dtype
        mark = replay_mark(state)
        assert mark == segment_mark(log[-1])
        oldest = oldest_transition(state)
        log = [segment for segment in log if int(segment["stop"]) >= oldest]
    restored = restore(fresh(12, dtype), counters(state), log, newest(state).astype(np.float32))
    assert restored.frames.dtype == dtype
    for seed in range(SEEDS):
        assert stored(restored, seed) == stored(state, seed)
    # So are transitions added later.
    again = (grow(state, 20, np.random.default_rng(1)), grow(restored, 20, np.random.default_rng(1)))
    for seed in range(SEEDS):
        assert stored(again[0], seed) == stored(again[1], seed)


def test_first_observation_survives_a_checkpoint_before_the_first_transition() -> None:
    first = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    state = jax.vmap(lambda one: replay.init(SPEC, 12, 20, one))(jnp.asarray(first))
    restored = restore(fresh(12), counters(state), [], newest(state))
    grown = [grow(each, 1, np.random.default_rng(1)) for each in (state, restored)]
    for seed in range(SEEDS):
        assert stored(grown[0], seed) == stored(grown[1], seed)
        assert stored(grown[1], seed)[0][0] == first[seed].tolist()


def test_segment_contains_only_new_data() -> None:
    random = np.random.default_rng(0)
    state = grow(fresh(500), 400, random)
    mark = replay_mark(state)
    state = grow(state, 10, random)
    segment = replay_since(state, mark)
    assert segment["rewards"].shape == (SEEDS, 10)
    assert 10 * SEEDS <= len(segment["frames"]) <= 20 * SEEDS


def test_log_of_a_smaller_ring_restores_into_a_larger_one() -> None:
    state = grow(fresh(30), 25, np.random.default_rng(0))
    segment = replay_since(state, NOTHING)
    restored = restore(fresh(60), counters(state), [segment], newest(state))
    assert stored(restored, 0) == stored(state, 0)


def test_tree_with_random_keys_is_restored() -> None:
    tree = {"key": jax.random.key(3), "weights": [jnp.arange(3.0), jnp.int32(4)]}
    restored = arrays_to_tree(tree, tree_to_arrays(tree))
    assert jax.random.normal(restored["key"]) == jax.random.normal(tree["key"])
    np.testing.assert_array_equal(restored["weights"][0], tree["weights"][0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda arrays: arrays.pop("['a']"), "no array"),
        (lambda arrays: arrays.update({"['a']": np.zeros(4, np.float32)}), r"float32\[4\], expected float32\[3\]"),
        (lambda arrays: arrays.update({"['a']": np.zeros(3)}), "float64"),
    ],
)
def test_unexpected_arrays_are_errors(damage, message: str) -> None:
    tree = {"a": jnp.zeros(3)}
    arrays = tree_to_arrays(tree)
    damage(arrays)
    with pytest.raises(UserError, match=message):
        arrays_to_tree(tree, arrays)
