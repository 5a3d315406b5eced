"""Replay buffer compared with a list of transitions."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import replay
from surefoot.replay import ReplayState
from surefoot.types import Batch, EnvSpec, Transition
from tests.buffers import sample_one

SPEC = EnvSpec(observation_size=2, action_size=1)
CAPACITY = 6
TIGHT, WIDE = CAPACITY + 2, 2 * CAPACITY + 4
DRAWS = 128

add = jax.jit(replay.add)
sample = jax.jit(sample_one, static_argnums=2)
start_episode = jax.jit(replay.start_episode)


class Stored(NamedTuple):
    """A transition as Python numbers."""

    observation: tuple[float, ...]
    action: tuple[float, ...]
    reward: float
    next_observation: tuple[float, ...]
    terminated: bool


class History:
    """Writes the same transitions, with unique observations, into a buffer and a list."""

    def __init__(self, frames: int, capacity: int = CAPACITY) -> None:
        self.count = 0
        self.observation = self.fresh()
        self.stored: list[Stored] = []
        self.starts: list[int] = []
        self.capacity, self.frames = capacity, frames
        self.frame_numbers: list[int] = []
        self.num_frames = 1
        self.state = replay.init(SPEC, capacity, frames, jnp.asarray(self.observation))

    def fresh(self) -> np.ndarray:
        self.count += 1
        return np.array([self.count, -self.count], np.float32)

    def step(self, terminated: bool = False, truncated: bool = False) -> None:
        ended = terminated or truncated
        number = len(self.stored)
        action, reward = np.array([number / 64], np.float32), np.float32(number + 0.5)
        following = self.fresh()
        current = self.fresh() if ended else following
        self.stored.append(Stored(tuple(self.observation), tuple(action), float(reward), tuple(following), terminated))
        self.frame_numbers.append(self.num_frames - 1)
        self.num_frames += 2 if ended else 1
        self.observation = current
        self.state = add(
            self.state, Transition(action, reward, following, np.bool_(terminated), current, np.bool_(ended))
        )

    def abandon(self) -> None:
        """Start a new episode without an end of the previous one."""
        self.observation = self.fresh()
        self.num_frames += 1
        self.state = start_episode(self.state, self.observation, np.bool_(True))

    def expected(self) -> list[Stored]:
        """Return the newest transitions that fit and whose two observations have not been overwritten."""
        return [
            transition
            for number, transition in list(enumerate(self.stored))[-self.capacity :]
            if self.frame_numbers[number] >= self.num_frames - self.frames
        ]


def transitions(batch: Batch) -> list[Stored]:
    rows = zip(*map(np.asarray, batch), strict=True)
    return [Stored(tuple(o), tuple(a), float(r), tuple(n), bool(t)) for o, a, r, n, t in rows]


def stored_transitions(state: ReplayState) -> list[Stored]:
    """Return every transition that ``sample`` can return, oldest first."""
    found = []
    for number in range(int(state.oldest), int(state.num_transitions)):
        position, frames = number % len(state.rewards), state.frames
        frame = int(state.frame_of[position])
        found.append(
            Stored(
                tuple(np.asarray(frames[frame % len(frames)])),
                tuple(np.asarray(state.actions[position])),
                float(state.rewards[position]),
                tuple(np.asarray(frames[(frame + 1) % len(frames)])),
                bool(state.terminated[position]),
            )
        )
    return found


steps = st.sampled_from(["step", "step", "step", "terminate", "truncate", "abandon"])


@settings(max_examples=60, deadline=None)
@given(frames=st.sampled_from([TIGHT, WIDE]), events=st.lists(steps, max_size=4 * CAPACITY))
def test_buffer_equals_a_list_of_transitions(frames: int, events: list[str]) -> None:
    history = History(frames)
    history.step()
    for event in events:
        if event == "abandon":
            history.abandon()
        else:
            history.step(terminated=event == "terminate", truncated=event == "truncate")
    assert int(history.state.num_transitions) == len(history.stored)
    assert int(history.state.num_frames) == history.num_frames
    if history.expected():
        assert stored_transitions(history.state) == history.expected()
        drawn = transitions(sample(history.state, jax.random.key(len(events)), DRAWS))
        assert set(drawn) <= set(history.expected())


def test_next_observation_at_episode_end_is_the_final_observation() -> None:
    history = History(WIDE)
    for terminated, truncated in ((False, False), (True, False), (False, False), (False, True), (False, False)):
        history.step(terminated, truncated)
    drawn = set(transitions(sample(history.state, jax.random.key(0), DRAWS)))
    assert drawn == set(history.stored)
    # Observations are 1, 2, 3 | 4, 5, 6 | 7, 8; there is no transition from 3 to 4.
    pairs = {(t.observation[0], t.next_observation[0], t.terminated) for t in drawn}
    assert pairs == {(1, 2, False), (2, 3, True), (4, 5, False), (5, 6, False), (7, 8, False)}


def test_truncation_is_not_termination() -> None:
    history = History(WIDE)
    history.step(truncated=True)
    assert not np.asarray(sample(history.state, jax.random.key(0), 1).terminated).any()
    history.step(terminated=True)
    assert np.asarray(sample(history.state, jax.random.key(0), DRAWS).terminated).any()


def test_full_buffer_drops_the_oldest() -> None:
    history = History(WIDE)
    for _ in range(2 * CAPACITY + 3):
        history.step()
    assert stored_transitions(history.state) == history.stored[-CAPACITY:]


def test_short_episodes_drop_transitions_early() -> None:
    """Episodes of one step take two frames each: eight frames hold four such transitions."""
    history = History(TIGHT)
    for _ in range(10):
        history.step(terminated=True)
    kept = stored_transitions(history.state)
    assert 0 < len(kept) < CAPACITY
    assert kept == history.stored[-len(kept) :] == history.expected()


def test_frame_capacity_suffices_for_the_shortest_episodes() -> None:
    """With all episodes of the shortest length, the limit is the capacity in transitions."""
    capacity, shortest = 12, 3
    history = History(replay.frame_capacity(capacity, shortest), capacity)
    for number in range(5 * capacity):
        history.step(truncated=number % shortest == shortest - 1)
        assert len(stored_transitions(history.state)) == min(number + 1, capacity)


def test_sampling_is_uniform_over_stored_transitions() -> None:
    history = History(WIDE)
    for number in range(CAPACITY + 4):
        history.step(terminated=number % 3 == 2)
    draws = 6_000
    counts = Counter(t.reward for t in transitions(sample(history.state, jax.random.key(1), draws)))
    assert len(counts) == len(history.expected()) == CAPACITY
    mean = draws / CAPACITY
    chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
    assert chi_square < 25.0  # 5 degrees of freedom: exceeded by one key in 7,000; the key is fixed


def test_sampling_depends_only_on_the_key() -> None:
    history = History(WIDE)
    for _ in range(CAPACITY):
        history.step()
    one, again, other = (transitions(sample(history.state, jax.random.key(key), 32)) for key in (0, 0, 1))
    assert one == again != other


def test_start_episode_is_conditional() -> None:
    history = History(WIDE)
    history.step()
    same = start_episode(history.state, history.fresh(), np.bool_(False))
    for before, after in zip(history.state, same, strict=True):
        np.testing.assert_array_equal(before, after)


def test_batches_are_float32_and_shaped_by_the_spec() -> None:
    history = History(WIDE)
    history.step()
    batch = sample(history.state, jax.random.key(0), 5)
    assert [leaf.shape for leaf in batch] == [(5, 2), (5, 1), (5,), (5, 2), (5,)]
    assert {leaf.dtype for leaf in batch} == {jnp.dtype("float32")}


def test_bytes_are_stored_as_uint8_and_sampled_as_float32() -> None:
    """The buffer holds and samples the same numbers as one of float32."""
    states = [
        replay.init(EnvSpec(2, 1, dtype), CAPACITY, WIDE, jnp.float32([0, 255])) for dtype in ("uint8", "float32")
    ]
    for number in range(2 * CAPACITY):
        following, current = np.float32([number, 255]), np.float32([200 + number, 0])
        ended = np.bool_(number % 3 == 2)
        moved = Transition(np.zeros(1), np.float32(number), following, ended, current if ended else following, ended)
        states = [add(state, moved) for state in states]
    states = [start_episode(state, jnp.float32([7, 128]), np.bool_(True)) for state in states]
    assert states[0].frames.dtype == np.uint8
    np.testing.assert_array_equal(*(state.frames for state in states))
    batches = [sample(state, jax.random.key(0), 64) for state in states]
    for byte, float32 in zip(*batches, strict=True):
        assert byte.dtype == float32.dtype == np.float32
        np.testing.assert_array_equal(byte, float32)


def test_a_million_frames_of_a_racing_car_take_31_gigabytes() -> None:
    spec, capacity = EnvSpec(96 * 96 * 3, 3, "uint8"), 1_000_000
    assert 31e9 < replay.nbytes(spec, capacity, replay.frame_capacity(capacity, None)) < 31.2e9


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(("capacity", "frames"), [(6, 8), (100, 130)])
def test_nbytes_equals_array_sizes(capacity: int, frames: int, dtype: str) -> None:
    spec = EnvSpec(17, 6, dtype)
    state = jax.eval_shape(lambda: replay.init(spec, capacity, frames, jnp.zeros(17)))
    assert replay.nbytes(spec, capacity, frames) == sum(leaf.size * leaf.dtype.itemsize for leaf in state)


def test_ten_seeds_of_dog_run_take_five_gigabytes() -> None:
    """500,000 transitions of 223 observations, 500 agent steps per episode; stored twice, they would take 9.7 GB."""
    spec, capacity = EnvSpec(223, 38), 500_000
    total = 10 * replay.nbytes(spec, capacity, replay.frame_capacity(capacity, 500))
    assert 5.2e9 < total < 5.4e9


def test_too_few_frames_are_rejected() -> None:
    with pytest.raises(ValueError, match="at least capacity \\+ 2 = 8, got 7"):
        replay.init(SPEC, 6, 7, jnp.zeros(2))
