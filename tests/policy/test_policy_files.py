"""Files of policies: round trips, validation, atomic replacement and untrusted content."""

import copy
import errno
import json
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.policy import PolicySpec, load_policy, save_policy
from surefoot.runs import RunDirectory
from surefoot.runs.arrays import read_arrays, write_arrays
from surefoot.runs.atomic import digest_of
from tests.flat_spaces import flat_spaces


@pytest.fixture
def folder(tmp_path, spec, arrays):
    save_policy(tmp_path / "policy", spec, arrays)
    return tmp_path / "policy"


def test_default_seed_is_the_best_and_the_first_on_ties(folder):
    policy = load_policy(folder)
    assert (policy.seed, policy.score) == (8, 0.75)
    assert (policy.task, policy.algorithm, policy.env_steps) == ("cheetah-run", "crossq-wn", 1000)
    assert (policy.observation_size, policy.action_size, policy.observation_keys) == (5, 2, None)


def test_default_seed_without_scores_is_the_first(tmp_path, spec, arrays):
    save_policy(tmp_path, spec | {"scores": [None, float("nan"), None]}, arrays)
    assert load_policy(tmp_path).seed == 7
    save_policy(tmp_path, spec | {"scores": [None, -3, None]}, arrays)
    assert load_policy(tmp_path).seed == 8


def test_each_seed_has_its_own_parameters(folder):
    policies = [load_policy(folder, seed=seed) for seed in (7, 8, 9)]
    assert [policy.seed for policy in policies] == [7, 8, 9]
    actions = [policy(np.ones(5)).tolist() for policy in policies]
    assert actions[0] != actions[1] != actions[2]
    with pytest.raises(UserError, match="has no seed 3; it has 7, 8, 9"):
        load_policy(folder, seed=3)


def test_policy_loads_from_a_run_directory(tmp_path, spec, arrays):
    run = RunDirectory.create(tmp_path / "run", {})
    with pytest.raises(UserError, match=r"run contains no policy; expected a run directory with policy/policy\.json"):
        load_policy(run.path)
    save_policy(run.policy_path, spec, arrays)
    assert load_policy(str(run.path)).seed == 8
    with pytest.raises(UserError, match="absent does not exist"):
        load_policy(tmp_path / "absent")


def test_repr_names_task_sizes_and_seeds(folder, spec, arrays, tmp_path):
    assert repr(load_policy(folder)) == (
        "Policy(task='cheetah-run', algorithm='crossq-wn', seed=8 of (7, 8, 9), env_steps=1,000, score=0.75, "
        "observation=(5,) float32, action=(2,) float32, layers=5-6-6-2, parameters=122)"
    )
    parts = {f"part {number}": [1] for number in range(3)} | {"camera": [2, 1]}
    changed = spec | {"spaces": flat_spaces(parts, [-2.0, 0.1], [1.0, 0.7]), "scores": [None] * 3}
    save_policy(tmp_path / "other", changed, arrays)
    shown = repr(load_policy(tmp_path / "other"))
    assert "seed=7 of (7, 8, 9), env_steps=1,000, observation={part 0: (1,) float32, part 1:" in shown


def test_policy_loads_and_acts_with_only_numpy(folder):
    script = """
        import importlib.metadata, json, sys
        allowed = {"numpy", "surefoot", *sys.stdlib_module_names}
        installed = importlib.metadata.packages_distributions()
        sys.modules.update({name: None for name in installed if name not in allowed})
        import surefoot
        from surefoot.cli.main import main
        try:
            surefoot.train
        except surefoot.MissingDependency as error:
            assert str(error) == (
                "surefoot.train needs the package 'jax', which is not installed: pip install surefoot"
            ), error
        assert main(["tasks"]) == 2
        policy = surefoot.load_policy(sys.argv[1])
        assert repr(policy).startswith("Policy(task=") and policy.batch([[1.0] * 5] * 3).shape == (3, 2)
        print(json.dumps(policy([1.0] * 5).tolist()))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.startswith("surefoot: error: the command line needs the package '")
    assert done.stderr.count("\n") == 1
    np.testing.assert_array_equal(np.float32(json.loads(done.stdout)), load_policy(folder)(np.ones(5)))


def test_spec_may_hold_numpy_values_or_be_an_object(tmp_path, folder, spec, arrays):
    action = spec["spaces"]["action"]
    given = spec | {
        "spaces": spec["spaces"] | {"action": action | {"low": np.array(action["low"]), "high": tuple(action["high"])}},
        "seeds": np.array(spec["seeds"]),
        "scores": [np.float32(0.25), np.float64(0.75), 0.75],
        "env_steps": np.int64(1000),
    }
    save_policy(tmp_path / "numpy", given, arrays)
    save_policy(tmp_path / "object", PolicySpec.from_mapping(spec), arrays)
    for name in ("numpy", "object"):
        assert (tmp_path / name / "policy.json").read_bytes() == (folder / "policy.json").read_bytes()


def test_diverged_seed_leaves_the_others_usable(tmp_path, spec, arrays):
    arrays["mean/bias"][1, 0] = np.nan
    save_policy(tmp_path, spec, arrays)
    assert json.loads((tmp_path / "policy.json").read_text())["scores"] == [0.25, None, 0.75]
    assert load_policy(tmp_path).seed == 9
    with pytest.raises(UserError, match=r"seed 8 .*not finite: it diverged"):
        load_policy(tmp_path, seed=8)
    arrays["mean/bias"][:] = 1e39  # beyond float32
    with pytest.raises(RunFailure, match="not finite for any of the seeds"):
        save_policy(tmp_path, spec, arrays)


def observation_with(**changes):
    return lambda spec: spec["spaces"]["observation"][0].update(changes)


def action_with(**changes):
    return lambda spec: spec["spaces"]["action"].update(changes)


def layers_with(index, **changes):
    def change(spec):
        spec["layers"][index].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("task"), "needs the field 'task'"),
        (lambda s: s.update(taks="x"), "no field 'taks'; did you mean 'task'"),
        (lambda s: s.update(spaces=[]), r"spaces is \[\], expected an object with action, observation"),
        (lambda s: s.pop("spaces"), "spaces are missing: a run of an earlier revision"),
        (lambda s: s["spaces"]["observation"].clear(), "observations of 0 numbers, expected at least one number"),
        (observation_with(shape=[True]), r"shape is \[True\], expected at most 32 whole numbers"),
        (observation_with(shape=[2**31 - 1] * 3), "expected at least one number and at most 2,147,483,647"),
        (observation_with(shape=[6]), r"'input_norm/mean' is float64 \(3, 5\), expected .*\(3, 6\)"),
        (observation_with(key=1), "the observation key 1, expected a printable text"),
        (observation_with(dtype="float32; x"), "dtype is 'float32; x', expected the name of a NumPy dtype"),
        (observation_with(extra=0), "spaces.observation is .*, expected an object with dtype, key, shape"),
        (action_with(shape=[3]), r"2 lower and 2 upper bounds for actions of \(3,\)"),
        (action_with(shape=[0], low=[], high=[]), "actions with no entries"),
        (action_with(dtype="int32"), "action dtype is 'int32', expected float16, float32, float64"),
        (action_with(low=[0, float("inf")]), "expected finite numbers of float32"),
        (action_with(low=[0, "0"]), "expected a list of numbers"),
        (action_with(low=[1.0, 0.0]), "action entry 0 lies between 1 and 1, expected finite bounds"),
        (action_with(high=[1e39, 1]), "expected finite numbers of float32"),
        (action_with(low=[-2e38, 0], high=[2e38, 1], dtype="float64"), "difference within the range of float32"),
        (action_with(low=[-4e4, 0], high=[4e4, 1], dtype="float16"), "finite numbers of float16|range of float16"),
        (action_with(high=[10**400, 1]), "expected finite numbers of float32"),
        (action_with(high=[1 + 1e-12, 1]), "expected finite numbers of float32"),
        (lambda s: s.update(seeds=[7, 7, 8]), "seeds must be distinct"),
        (lambda s: s.update(seeds=[]), "seeds must be distinct and at least one"),
        (lambda s: s.update(seeds=[1, 2]), "scores must be a list of 2"),
        (lambda s: s.update(seeds=[1, -2, 3]), "non-negative"),
        (lambda s: s.update(scores=["a", 1, 2]), "scores must contain finite numbers or null"),
        (lambda s: s.update(layers=[]), "the last layer must be one of tanh_gaussian_head, tanh_head"),
        (lambda s: s.update(layers=s["layers"][:-1]), "last layer must be"),
        (lambda s: s.update(layers=[s["layers"][-1], *s["layers"]]), "can only be the last"),
        (lambda s: s.update(layers=[5]), "layers must contain objects"),
        (layers_with(1, op="dence"), "unknown layer op 'dence'; did you mean 'dense'"),
        (layers_with(1, op=[1]), "unknown layer op"),
        (layers_with(1, bias=True), r"needs the fields \['name'\], got bias, name"),
        (layers_with(1, name="elsewhere"), "'elsewhere/kernel' .* is missing"),
        (layers_with(1, name=3), "'name' of a 'dense' layer must be a printable text of at most 500 characters"),
        (layers_with(0, epsilon=0), "epsilon must be between"),
        (layers_with(0, epsilon="small"), "epsilon must be between"),
        (layers_with(3, layers=[{"op": "dense", "name": "mean"}]), "turn 6 numbers into 2"),
        (layers_with(3, layers=7), "must be a list"),
        (layers_with(3, layers=[7]), "a layer must be an object"),
        (layers_with(3, layers=[{"op": "relu"}]), "belongs to no layer"),
        (layers_with(4, mapping="exp"), "must be one of clip, tanh, got 'exp'"),
        (layers_with(4, mapping=["clip"]), "must be one of clip, tanh"),
        (layers_with(4, log_std_min=2), "log_std_min must be below log_std_max"),
        (layers_with(4, log_std_max=500), "log_std_max must be between"),
        (
            layers_with(4, mean="dense_0"),
            r"'dense_0/kernel' is float64 \(3, 5, 6\), expected floats of .*6, 6\)",
        ),
    ],
)
def test_invalid_spec_is_reported_and_nothing_is_written(tmp_path, spec, arrays, change, message):
    change(spec)
    with pytest.raises(UserError, match=message) as caught:
        save_policy(tmp_path / "policy", spec, arrays)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_deep_nesting_is_rejected(tmp_path, spec, arrays):
    for _ in range(300):
        spec["layers"][3] = {"op": "residual", "layers": [spec["layers"][3]]}
    with pytest.raises(UserError, match="nested at most"):
        save_policy(tmp_path, spec, arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("mean/kernel"), "'mean/kernel' .* is missing"),
        (lambda a: a.update(extra=np.zeros(3)), "'extra' belongs to no layer"),
        (lambda a: a.update({"mean/bias": np.zeros((3, 5))}), r"expected floats of shape \(3, 2\)"),
        (lambda a: a.update({"mean/kernel": np.zeros((3, 6, 0))}), "'mean/kernel' has shape"),
        (lambda a: a.update({"mean/kernel": np.array(1.0)}), "'mean/kernel' is float64"),
        (lambda a: a.update({"mean/bias": np.zeros((3, 2), np.int64)}), "is int64"),
        (lambda a: a["input_norm/var"].__setitem__((0, 0), -1.0), "negative variance"),
    ],
)
def test_mismatched_arrays_are_rejected(tmp_path, spec, arrays, change, message):
    change(arrays)
    with pytest.raises(UserError, match=message):
        save_policy(tmp_path / "policy", spec, arrays)
    assert list(tmp_path.iterdir()) == []


def test_folder_with_other_files_is_not_replaced(tmp_path, spec, arrays):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains other files \(notes.txt\)"):
        save_policy(tmp_path, spec, arrays)
    with pytest.raises(UserError, match="is a file"):
        save_policy(tmp_path / "notes.txt", spec, arrays)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_full_disk_keeps_the_earlier_policy(folder, spec, arrays, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailure, match="No space left on device"):
        save_policy(folder, spec | {"task": "new"}, arrays)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["policy"]


def test_kill_while_replacing_keeps_the_earlier_policy(folder):
    folder.rename(folder.with_name(".old-policy"))
    assert load_policy(folder).seed == 8
    assert load_policy(folder.parent).seed == 8


def test_files_of_different_saves_are_rejected(folder, spec, arrays):
    other = (folder / "policy.npz").read_bytes()
    save_policy(folder, spec, arrays | {"mean/bias": np.zeros((3, 2))})
    (folder / "policy.npz").write_bytes(other)
    with pytest.raises(UserError, match="wrong checksum"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", 'expected an object with "format": 1'),
        (b'{"format": 2}', 'expected an object with "format": 1'),
        (b'{"format": 1}', "needs the field 'sha256'"),
        (b'{"format": 1, "sha256": ""}', "spaces are missing"),
    ],
)
def test_damaged_description_error_names_its_file(folder, content, message):
    (folder / "policy.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_policy(folder)
    assert str(folder / "policy.json") in str(caught.value)


def act(folder):
    """Load a policy and act with it; return whether it was rejected."""
    try:
        policy = load_policy(folder)
        action = policy(np.zeros(policy.observation_size))
    except UserError:
        return True
    assert (action >= policy.action_low).all()
    assert (action <= policy.action_high).all()
    return False


def test_mutated_descriptions_are_policies_or_user_errors(folder):
    original = (folder / "policy.json").read_bytes()
    generator, rejected = random.Random(0), 0
    for case in range(300):
        content = bytearray(original)
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.choice(b'0123456789eE-+.,:[]{}"ntx\x00\xff')
        if case % 10 == 0:
            content = content[: generator.randrange(len(content))]
        (folder / "policy.json").write_bytes(content)
        rejected += act(folder)
    assert 100 < rejected < 300


def test_descriptions_with_values_of_other_types_are_policies_or_user_errors(folder):
    original = json.loads((folder / "policy.json").read_text())
    values = [None, True, -1, 0, 3, 1e308, 10**400, "", "dense", [], [[]], {}, [None], {"op": "relu"}]

    def places(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield node, key
            if isinstance(node[key], dict | list):
                yield from places(node[key])

    count = len(list(places(original)))
    assert count > 40
    for position in range(count):
        for value in values:
            changed = copy.deepcopy(original)
            node, key = list(places(changed))[position]
            node[key] = value
            (folder / "policy.json").write_text(json.dumps(changed))
            act(folder)


def test_mutated_arrays_are_policies_or_user_errors(folder):
    """The checksum is correct, so that the arrays are read."""
    original = (folder / "policy.npz").read_bytes()
    description = json.loads((folder / "policy.json").read_text())
    generator, rejected = random.Random(0), 0
    for case in range(300):
        content = bytearray(original)
        for _ in range(generator.randint(1, 3)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        if case % 10 == 0:
            content = content[: generator.randrange(len(content))]
        (folder / "policy.npz").write_bytes(content)
        description["sha256"] = digest_of(folder / "policy.npz").sha256
        (folder / "policy.json").write_text(json.dumps(description))
        rejected += act(folder)
    assert rejected > 100


def test_arrays_of_extreme_numbers_are_policies_or_user_errors(folder):
    """The arrays are finite, of the right shape and with correct checksums."""
    description = json.loads((folder / "policy.json").read_text())
    original = read_arrays(folder / "policy.npz")
    generator = np.random.default_rng(0)
    for _ in range(50):
        extreme = {
            name: np.abs(array) * 10.0 ** generator.integers(-45, 40, array.shape) for name, array in original.items()
        }
        with (folder / "policy.npz").open("wb") as stream:
            description["sha256"] = write_arrays(stream, extreme).sha256
        (folder / "policy.json").write_text(json.dumps(description))
        act(folder)
