"""Actions of policies against an independent computation; shapes, bounds and randomness."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Tuple, flatten

from surefoot.errors import UserError
from surefoot.policy import load_policy, save_policy
from surefoot.tasks.spaces import describe_spaces
from tests.flat_spaces import flat_spaces
from tests.policy.conftest import ACTION, OBSERVATION


@pytest.fixture
def policy(tmp_path, spec, arrays):
    save_policy(tmp_path / "policy", spec, arrays)
    return load_policy(tmp_path / "policy")


def hidden_by_hand(arrays, x, index):
    """Return the output of the fixture's layers before the head, one scalar at a time, in float64."""
    a = {name: array[index] for name, array in arrays.items()}
    variance = a["input_norm/var"]
    x = [
        (x[i] - a["input_norm/mean"][i]) / (variance[i] + 1e-3) ** 0.5 * a["input_norm/scale"][i]
        + a["input_norm/bias"][i]
        for i in range(OBSERVATION)
    ]
    x = [max(0.0, sum(x[i] * k for i, k in enumerate(column))) for column in _with_bias(a, "dense_0", x)]
    mean = sum(x) / len(x)
    spread = (sum((v - mean) ** 2 for v in x) / len(x) + 1e-6) ** 0.5
    normed = [
        (v - mean) / spread * scale + bias
        for v, scale, bias in zip(x, a["block/norm/scale"], a["block/norm/bias"], strict=True)
    ]
    kernel = a["block/dense/kernel"]
    return [v + sum(n * kernel[i, j] for i, n in enumerate(normed)) for j, v in enumerate(x)]


def _with_bias(a, name, x):
    """Append 1 to x and return the columns of the kernel with the bias appended."""
    x.append(1.0)
    return np.vstack([a[f"{name}/kernel"], a[f"{name}/bias"]]).T


def head_by_hand(arrays, name, x, index):
    return np.array(x) @ arrays[f"{name}/kernel"][index] + arrays[f"{name}/bias"][index]


def rescale(squashed):
    return np.array([-2.0, 0.1]) + 0.5 * np.array([3.0, 0.6]) * (squashed + 1)


def test_deterministic_action_equals_the_layers(policy, arrays):
    rng = np.random.default_rng(1)
    for _ in range(5):
        obs = rng.normal(size=OBSERVATION)
        mean = head_by_hand(arrays, "mean", hidden_by_hand(arrays, obs, 1), 1)
        np.testing.assert_allclose(policy(obs), rescale(np.tanh(mean)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("mapping", "low", "high"), [("clip", -0.5, 0.25), ("tanh", -10, 2)])
def test_stochastic_action_has_the_heads_standard_deviation(tmp_path, spec, arrays, mapping, low, high):
    spec["layers"][-1] |= {"mapping": mapping, "log_std_min": low, "log_std_max": high}
    save_policy(tmp_path, spec, arrays)
    policy = load_policy(tmp_path, seed=9)
    obs = np.random.default_rng(2).normal(size=OBSERVATION)
    hidden = hidden_by_hand(arrays, obs, 2)
    raw = head_by_hand(arrays, "log_std", hidden, 2)
    log_std = np.clip(raw, low, high) if mapping == "clip" else low + 0.5 * (high - low) * (np.tanh(raw) + 1)
    policy.reseed(3)
    noise = np.random.default_rng(3).standard_normal((1, ACTION), dtype=np.float32)[0]
    expected = rescale(np.tanh(head_by_hand(arrays, "mean", hidden, 2) + np.exp(log_std) * noise))
    np.testing.assert_allclose(policy(obs, deterministic=False), expected, rtol=2e-5, atol=2e-6)


def test_batch_equals_its_rows(policy):
    batch = np.random.default_rng(0).normal(size=(4, OBSERVATION)).astype(np.float32)
    actions = policy.batch(batch)
    assert actions.shape == (4, ACTION)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, [policy(row) for row in batch], rtol=1e-5, atol=1e-6)
    assert policy.batch(batch[:1]).shape == (1, ACTION)
    assert policy.batch(batch[:0]).shape == (0, ACTION)
    assert policy(batch[0].tolist()).shape == (ACTION,)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_actions_are_in_the_action_space(tmp_path, spec, arrays, dtype):
    # As float32, -0.1, 0.1 and 1.1 grow and 0.7 shrinks.
    space = Box(np.array([[-0.1, 0.7]], dtype), np.array([[0.1, 1.1]], dtype), dtype=np.dtype(dtype).type)
    spec["spaces"] = flat_spaces(OBSERVATION, space.low[0].tolist(), space.high[0].tolist(), dtype, (1, 2))
    save_policy(tmp_path, spec, arrays)
    policy = load_policy(tmp_path)
    obs = np.random.default_rng(0).normal(size=(500, OBSERVATION)) * 1e4
    for actions in (policy.batch(obs), policy.batch(obs, deterministic=False), [policy(row) for row in obs[:9]]):
        assert all(space.contains(action) for action in actions)
    assert (policy.batch(obs) == space.low).any()
    assert (policy.batch(obs) == space.high).any()
    for bound, expected in ((policy.action_low, space.low), (policy.action_high, space.high)):
        np.testing.assert_array_equal(bound, expected)
        assert bound.dtype == expected.dtype


def test_stochastic_actions_repeat_after_reseeding(policy):
    obs = np.zeros(OBSERVATION)
    policy.reseed(5)
    first = [policy(obs, deterministic=False) for _ in range(3)]
    policy.reseed(5)
    np.testing.assert_array_equal(first, [policy(obs, deterministic=False) for _ in range(3)])
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(policy(obs), policy(obs))


def test_predict_equals_the_call_and_returns_the_state(policy):
    obs = np.ones(OBSERVATION)
    action, state = policy.predict(obs, state=("mine",), episode_start=np.array([True]))
    np.testing.assert_array_equal(action, policy(obs))
    assert state == ("mine",)
    policy.reseed(0)
    sampled, state = policy.predict(obs, deterministic=False)
    policy.reseed(0)
    np.testing.assert_array_equal(sampled, policy(obs, deterministic=False))
    assert state is None


@pytest.mark.parametrize("shape", [(), (4,), (6,), (2, 4), (1, 1, 5), (5, 1)])
def test_wrong_shape_error_names_both_shapes(policy, shape):
    with pytest.raises(UserError) as caught:
        policy(np.zeros(shape))
    assert str(caught.value) == f"observation has shape {shape}, expected (5,)"
    with pytest.raises(UserError) as caught:
        policy.batch(np.zeros(shape))
    assert str(caught.value) == f"observations has shape {shape}, expected (batch, 5)"


def test_batch_in_place_of_one_observation_is_an_error(policy):
    for count in (1, 3):
        with pytest.raises(UserError) as caught:
            policy(np.zeros((count, 5)))
        expected = "expected (5,); policy.batch takes several observations"
        assert str(caught.value) == f"observation has shape ({count}, 5), {expected}"
    with pytest.raises(UserError, match=r"^observations has shape \(5,\), expected \(batch, 5\)$"):
        policy.batch(np.zeros(5))


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ([0, 0, np.nan, 0, 0], "NaN"),
        ([0, 0, 1e300, 0, 0], "infinite in float32"),
        (["a"] * 5, "not an array of numbers"),
        ([[1, 2], [3]], "not an array of numbers"),
        ({"x": np.zeros(5)}, "is not an array of numbers"),
        (np.zeros(5, complex), "its dtype is complex128"),
        ([3e38, -3e38, 3e38, 3e38, 3e38], "overflow"),
    ],
)
def test_invalid_observations_are_rejected(policy, obs, message):
    with pytest.raises(UserError, match=message):
        policy(obs)


@pytest.fixture
def dict_policy(tmp_path, spec, arrays):
    spec["spaces"] = flat_spaces({"position": [2], "height": [], "camera": [2, 1]}, [-2.0, 0.1], [1.0, 0.7])
    save_policy(tmp_path / "dict", spec, arrays)
    return load_policy(tmp_path / "dict")


def test_dict_is_flattened_in_the_order_of_its_keys(policy, dict_policy):
    flat = np.arange(5.0) / 3
    obs = {"camera": flat[3:].reshape(2, 1), "height": flat[2], "position": flat[:2]}
    np.testing.assert_array_equal(dict_policy(obs), policy(flat))
    np.testing.assert_array_equal(dict_policy(flat), policy(flat))  # as from the environment of a task
    np.testing.assert_allclose(dict_policy.batch(np.stack([flat] * 3)), [policy(flat)] * 3, rtol=1e-5)
    np.testing.assert_array_equal(dict_policy(obs | {"debug": None}), policy(flat))
    batch = {key: np.stack([value, value, value]) for key, value in obs.items()}
    np.testing.assert_allclose(dict_policy.batch(batch), [policy(flat)] * 3, rtol=1e-5)


def test_wrong_dict_error_names_the_keys(dict_policy):
    with pytest.raises(UserError, match="has the keys position, hieght, camera, expected position, height, camera"):
        dict_policy({"position": 0, "hieght": 0, "camera": 0})
    with pytest.raises(UserError, match="observation is ndarray, expected a dict with the keys position, height"):
        dict_policy(np.zeros(4))
    obs = {"position": np.zeros(2), "height": 0.0, "camera": np.zeros((2, 1))}
    with pytest.raises(UserError, match=r"^observation\['position'\] has shape \(3,\), expected \(2,\)$"):
        dict_policy(obs | {"position": np.zeros(3)})
    with pytest.raises(UserError, match=r"^observation\['height'\] has shape \(1,\), expected \(\); policy.batch"):
        dict_policy(obs | {"height": np.zeros(1)})
    batch = {"position": np.zeros((3, 2)), "height": np.zeros(3), "camera": np.zeros((2, 2, 1))}
    with pytest.raises(UserError, match=r"^observations\['camera'\] has shape \(2, 2, 1\), expected \(batch, 2, 1\)$"):
        dict_policy.batch(batch)


def test_rows_of_a_dict_are_not_a_batch(tmp_path, spec, arrays):
    spec["spaces"] = flat_spaces({"a": [1, 2], "b": [1, 3]}, [-2.0, 0.1], [1.0, 0.7])
    save_policy(tmp_path, spec, arrays)
    policy, obs = load_policy(tmp_path), {"a": np.ones((1, 2)), "b": np.ones((1, 3))}
    assert policy(obs).shape == (ACTION,)
    assert policy.batch({key: array[None] for key, array in obs.items()}).shape == (1, ACTION)


NESTED = Tuple([Dict([("pose", Dict([("q.x", Box(-9, 9, (2,))), ("7", Box(-9, 9, ()))]))]), Box(-9, 9, (2, 1))])


def test_nested_observations_are_flattened_as_gymnasium_does(policy, tmp_path, spec, arrays):
    spaces = describe_spaces(NESTED, Box(np.float32([-2, 0.1]), np.float32([1, 0.7])), "t")
    assert spaces.observation_keys == ("0.pose.q\\.x", "0.pose.\\7", "1")
    spec["spaces"] = spaces.to_data()
    save_policy(tmp_path / "nested", spec, arrays)
    nested, obs = load_policy(tmp_path / "nested"), NESTED.sample()
    flat = flatten(NESTED, obs)
    np.testing.assert_array_equal(spaces.flatten(obs), flat)
    np.testing.assert_array_equal(nested(obs), policy(flat))
    batch = ({"pose": {"q.x": np.zeros((3, 2)), "7": np.zeros(3)}}, np.zeros((3, 2, 1)))
    np.testing.assert_allclose(nested.batch(batch), [policy(np.zeros(5))] * 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (({"pose": {"q.x": 0}}, 0), r"observation\[0\]\['pose'\] has the keys q.x, expected q.x, 7"),
        (({"pose": [1]}, 0), r"observation\[0\]\['pose'\] is list, expected a dict with the keys q.x, 7"),
        (({},), r"observation\[0\] has the keys none, expected pose"),
        (({"pose": {"q.x": 0, "7": 0}},), "observation has 1 member, expected 2"),
        (np.zeros(7), "observation is ndarray, expected a tuple of 2"),
    ],
)
def test_missing_part_of_a_nested_observation_is_named(obs, message):
    spaces = describe_spaces(NESTED, Box(-1, 1, (1,)), "t")
    with pytest.raises(UserError, match=f"^{message}$"):
        spaces.to_rows(obs, "observation")
    if not isinstance(obs, np.ndarray):
        with pytest.raises(LookupError, match=message.replace("observation", "the observation", 1)):
            spaces.flatten(obs)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 5, 1), (5,)])
@pytest.mark.parametrize("action_shape", [(2,), (1, 2), (2, 1)])
def test_observations_and_actions_have_the_environments_own_shapes(tmp_path, spec, arrays, shape, action_shape):
    spec["spaces"] = flat_spaces(0, [-2.0, 0.1], [1.0, 0.7], shape=action_shape)
    spec["spaces"]["observation"][0]["shape"] = list(shape)
    save_policy(tmp_path, spec, arrays)
    policy, batch = load_policy(tmp_path), np.random.default_rng(3).normal(size=(4, *shape))
    actions = policy.batch(batch)
    assert actions.shape == (4, *action_shape)
    for obs, action in zip(batch, actions, strict=True):
        assert policy(obs).shape == policy.predict(obs)[0].shape == action_shape
        np.testing.assert_allclose(policy(obs), action, rtol=1e-5, atol=1e-6)
    assert policy.batch(batch[:1]).shape == (1, *action_shape)
    for wrong in (batch, batch[:1], batch.reshape(20), batch[0].T[1:]):
        with pytest.raises(UserError, match=r"observation has shape .*, expected "):
            policy(wrong)
