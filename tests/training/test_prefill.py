"""Recorded transitions: reading, validation and storing."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surefoot
from surefoot import replay
from surefoot.algorithms import ObservationNorm
from surefoot.errors import MissingDependency, UserError
from surefoot.spaces import EnvSpaces
from surefoot.training.warm_start.dataset_files import _flat, read_dataset
from surefoot.types import EnvSpec, Transition
from tests.buffers import sample_one
from tests.flat_spaces import env_spaces, flat_spaces
from tests.training.recording import Recording
from tests.training.small import small

LOW, HIGH = np.array([-2.0], np.float32), np.array([4.0], np.float32)


def recording(**changes: Any) -> dict[str, np.ndarray]:
    """Two episodes: one of three transitions that terminates, one of two that is truncated."""
    states = [[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0]]
    return {
        "observations": np.concatenate([np.array(episode)[:-1, None] * [1, -1] for episode in states]),
        "next_observations": np.concatenate([np.array(episode)[1:, None] * [1, -1] for episode in states]),
        "actions": np.array([[-2.0], [1.0], [4.0], [-0.5], [2.5]]),
        "rewards": np.arange(5.0),
        "terminated": np.array([0, 0, 1, 0, 0], bool),
        "truncated": np.array([0, 0, 0, 0, 1], bool),
    } | changes


def saved(path: Path, **changes: Any) -> Path:
    np.savez(path / "data.npz", **{k: v for k, v in recording(**changes).items() if v is not None})
    return path / "data.npz"


def test_shared_observations_are_stored_once(tmp_path: Path) -> None:
    experience = read_dataset(saved(tmp_path)).fit(env_spaces(2, LOW, HIGH))
    assert experience.frames[0][:, 0].tolist() == [0, 1, 2, 3, 10, 11, 12]
    assert experience.frame_of.tolist() == [[0, 1, 2, 4, 5]]
    assert experience.sequences == read_dataset(saved(tmp_path)).sequences() == 2
    np.testing.assert_allclose(experience.actions[0, :, 0], [-1, 0, 1, -0.5, 0.5], atol=1e-6)


def test_shuffled_transitions_are_separate_sequences(tmp_path: Path) -> None:
    shuffled = {name: array[[3, 0, 4, 2, 1]] for name, array in recording().items()}
    recorded = read_dataset(saved(tmp_path, **shuffled))
    experience = recorded.fit(env_spaces(2, LOW, HIGH))
    assert recorded.sequences() == experience.sequences == 5
    first, second = experience.frames[0][experience.frame_of[0]], experience.frames[0][experience.frame_of[0] + 1]
    np.testing.assert_array_equal(first, shuffled["observations"])
    np.testing.assert_array_equal(second, shuffled["next_observations"])


def test_recordings_for_uint8_observations_hold_whole_numbers(tmp_path: Path) -> None:
    spaces = EnvSpaces.from_data(flat_spaces(2, LOW, HIGH, observation_dtype="uint8"))
    whole = {name: np.abs(array) for name, array in recording().items() if "observations" in name}
    experience = read_dataset(saved(tmp_path, **whole)).fit(spaces)
    empty = jax.vmap(lambda o: replay.init(EnvSpec(2, 1, "uint8"), 6, 12, o))(jnp.zeros((1, 2)))
    filled = experience.fill(empty, np.ones((1, 2), np.float32)).frames
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[0, :8, 0], [0, 1, 2, 3, 10, 11, 12, 1])
    for wrong in (0.5, -1.0, 256.0):
        whole["observations"][1, 0] = wrong
        with pytest.raises(UserError, match=f"an observation contains {wrong:g}, expected whole numbers from 0 to 255"):
            read_dataset(saved(tmp_path, **whole)).fit(spaces)


def test_filled_buffer_equals_added_transitions(tmp_path: Path) -> None:
    data = recording()
    experience = read_dataset(saved(tmp_path)).fit(env_spaces(2, LOW, HIGH)).for_seeds(2)
    first = np.array([[7.0, 7.0], [8.0, 8.0]], np.float32)
    spec = EnvSpec(2, 1)
    make = jax.jit(jax.vmap(lambda o: replay.init(spec, 6, 12, o)))
    empty = make(first)
    filled = experience.fill(empty, first)

    # The same episodes, added to the buffer of seed 0 one by one.
    add = jax.jit(replay.add)
    one = jax.tree.map(lambda leaf: leaf[0], make(np.repeat(data["observations"][:1], 2, axis=0).astype(np.float32)))
    following = [data["next_observations"][0], data["next_observations"][1], data["observations"][3]]
    following += [data["next_observations"][3], first[0]]
    for i, action in enumerate((data["actions"] + 2.0) / 3.0 - 1.0):
        ended = data["terminated"][i] | data["truncated"][i]
        one = add(
            one,
            Transition(
                action.astype(np.float32),
                np.float32(data["rewards"][i]),
                data["next_observations"][i].astype(np.float32),
                data["terminated"][i],
                following[i].astype(np.float32),
                np.bool_(ended),
            ),
        )
    for name, leaf in filled._asdict().items():
        np.testing.assert_allclose(leaf[0], getattr(one, name), atol=1e-6, err_msg=name)
    batch = sample_one(jax.tree.map(lambda leaf: leaf[1], filled), jax.random.key(0), 64)
    np.testing.assert_array_equal(np.abs(batch.next_observation - batch.observation), 1.0)


NAN = np.array([0.0, 1.0, np.nan, 3.0, 4.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": NAN}, "rewards of transition 2 is not finite"),
        ({"observations": np.full((5, 2), 1e300)}, "observations of transition 0 is not finite"),
        ({"terminated": np.zeros(5, bool), "truncated": np.zeros(5, bool)}, "ends of episodes are unknown"),
        ({"rewards": np.zeros((5, 1))}, r"rewards is \[5, 1\], expected \[N\]"),
        ({"rewards": np.zeros(4)}, r"observations is \[5, 2\], expected \[N, O\] with N = 4"),
        ({"observations": np.zeros(5)}, r"observations is \[5\], expected two dimensions"),
        ({"next_observations": np.zeros((5, 3))}, "observations have 2 entries and next_observations 3"),
        ({"terminated": np.full(5, 2)}, "terminated must hold booleans"),
        ({"actions": np.array(["a"] * 5)[:, None]}, "actions must hold numbers"),
        ({"actions": np.array([[None]] * 5)}, "cannot read .* as an .npz file of plain arrays"),
        ({"truncated": None, "truncations": np.zeros(5, bool)}, r"no array 'truncated' \(but 'truncations'\)"),
        ({name: array[:0] for name, array in recording().items()}, "holds no transitions"),
        # Sizes and bounds of the environment:
        ({"actions": np.array([[0.0], [0.0], [0.0], [4.1], [0.0]])}, r"entry 0 of action 3 is 4.1, outside .* -2 to 4"),
        ({"actions": np.zeros((5, 2))}, "actions have 2 entries, those of the environment 1"),
        ({k: np.zeros((5, 3)) for k in ("observations", "next_observations")}, "observations have 3 entries, .* 2"),
    ],
)
def test_invalid_data_is_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_dataset(saved(tmp_path, **changes)).fit(env_spaces(2, LOW, HIGH))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replay_capacity": 100, "prefill": "many"}, "101 transitions, more than the replay buffer's 100"),
        ({"prefill": "missing.npz"}, "missing.npz does not exist"),
        ({"prefill": "data.npz"}, "observations have 2 entries|outside the environment's bounds -1 to 1"),
        ({"prefill": 3}, "prefill must be a path, got 3"),
    ],
)
def test_invalid_prefill_writes_nothing(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    saved(tmp_path)
    many = {name: np.concatenate([array] * 21)[:101] for name, array in recording().items()}
    np.savez(tmp_path / "many", **many)
    names = {"many": tmp_path / "many.npz", "missing.npz": tmp_path / "missing.npz", "data.npz": tmp_path / "data.npz"}
    settings = settings | {"prefill": names.get(settings["prefill"], settings["prefill"])}
    with pytest.raises(UserError, match=message):
        surefoot.train(
            "probe-action",
            algorithm=small(surefoot.crossq_wn(utd=2)),
            env_steps=150,
            out=tmp_path / "run",
            observer=Recording(),
            **settings,
        )
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- Minari


class Dictionary(gymnasium.Env):
    """Spaces with two named observations."""

    observation_space = gymnasium.spaces.Dict(
        {
            "count": gymnasium.spaces.Box(-99, 99, (1,), np.float32),
            "angle": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        }
    )
    action_space = gymnasium.spaces.Box(-2.0, 4.0, (1,), np.float32)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import minari
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    episodes = [
        EpisodeBuffer(
            observations={
                "count": np.arange(length + 1, dtype=np.float32)[:, None],
                "angle": np.zeros((length + 1, 2), np.float32),
            },
            actions=np.ones((length, 1), np.float32),
            rewards=list(range(length)),
            terminations=[False] * length,
            truncations=[False] * (length - 1) + [True],
        )
        for length in (3, 2)
    ]
    with warnings.catch_warnings(action="ignore"):  # about an author and the like
        minari.create_dataset_from_buffers(
            "test/counting-v0",
            buffer=episodes,
            observation_space=Dictionary.observation_space,
            action_space=Dictionary.action_space,
        )
    return tmp_path / "test" / "counting-v0"


def test_nested_recordings_are_flattened_as_observations_are() -> None:
    rows, parts = _flat({"b": (np.ones((3, 2)), {"x.y": np.zeros((3, 1, 2))}), "a": np.full((3,), 2.0)})
    assert parts == (("b.0", 2), ("b.1.x\\.y", 2), ("a", 1))
    np.testing.assert_array_equal(rows, np.tile([1, 1, 0, 0, 2], (3, 1)))


def test_minari_dataset_by_id_or_folder(dataset: Path) -> None:
    for data in ("test/counting-v0", dataset, dataset / "data"):
        recorded = read_dataset(data)
        # The order of concatenation is that of the environment.
        experience = recorded.fit(env_spaces({"count": [1], "angle": [2]}, LOW, HIGH))
        assert experience.frames[0][:, 0].tolist() == [0, 1, 2, 3, 0, 1, 2]
        assert experience.rewards.tolist() == [[0, 1, 2, 0, 1]]
        assert experience.sequences == 2
        with pytest.raises(UserError, match="keys"):
            recorded.fit(env_spaces({"count": [1], "speed": [2]}, LOW, HIGH))
        with pytest.raises(UserError, match="observation 'count' has 1 entries, that of the environment 2"):
            recorded.fit(env_spaces({"count": [2], "angle": [1]}, LOW, HIGH))
    with pytest.raises(UserError, match="did you mean 'test/counting-v0'"):
        read_dataset("test/countin-v0")
    with pytest.raises(UserError, match=r"neither an .npz file nor a Minari dataset on this machine \(1 are here"):
        read_dataset("nothing")


def test_damaged_minari_dataset_is_one_line(dataset: Path) -> None:
    (dataset / "data" / "main_data.hdf5").write_bytes(b"not HDF5")
    with pytest.raises(UserError, match="cannot read the Minari dataset") as error:
        read_dataset("test/counting-v0")
    assert "\n" not in str(error.value)


def test_missing_minari_is_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(MissingDependency, match=r"surefoot\[minari\]"):
        read_dataset("D4RL/door/human-v2")


def test_prefill_without_running_statistics_is_an_error(tmp_path: Path) -> None:
    algorithm = small(surefoot.crossq_wn(utd=2)).replace(observation_norm=ObservationNorm())
    with pytest.raises(UserError, match="prefill cannot be used with crossq-wn: its running statistics"):
        surefoot.train(
            "probe-action", algorithm=algorithm, env_steps=150, out=tmp_path / "run", prefill=saved(tmp_path)
        )
    assert not (tmp_path / "run").exists()
