"""Reset times by hand, and the state after a reset."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import Algorithm, LearnerState, ResetAt, ResetEvery, next_reset
from surefoot.algorithms.presets import bro, sr_sac
from tests.algorithms.support import compiled_init, learner, named_leaves, same_bits, tiny_preset


def resets(
    when: ResetEvery | ResetAt | None, until: int, utd: int = 1, warmup: int = 1, action_repeat: int = 1
) -> list[int]:
    """Return the agent steps up to ``until`` whose updates directly follow a reset."""
    found: list[int] = []
    step = 0
    while (following := next_reset(when, step, utd=utd, warmup=warmup, action_repeat=action_repeat)) is not None:
        assert following > step
        if following > until:
            break
        found.append(step := following)
    return found


def test_without_resets_none_is_due() -> None:
    assert next_reset(None, 0, utd=1, warmup=1, action_repeat=1) is None


def test_resets_fall_on_multiples_of_the_env_step_interval() -> None:
    """After agent steps 10, 20 and 30 a multiple is complete; the reset precedes the next step's updates."""
    assert resets(ResetEvery(env_steps=10), 35) == [11, 21, 31]


def test_env_step_interval_counts_action_repeats() -> None:
    # Env steps after agent steps 5, 10 and 15: 10, 20 and 30.
    assert resets(ResetEvery(env_steps=10), 17, action_repeat=2) == [6, 11, 16]
    # 7, 14 and 21 env steps are complete after agent steps 4 (8), 7 (14) and 11 (22).
    assert resets(ResetEvery(env_steps=7), 13, action_repeat=2) == [5, 8, 12]


def test_interval_shorter_than_a_step() -> None:
    assert resets(ResetEvery(env_steps=1), 6, action_repeat=4) == [3, 4, 5, 6]
    assert resets(ResetEvery(grad_steps=1), 6, utd=8) == [3, 4, 5, 6]


def test_grad_step_interval_counts_from_the_warm_up() -> None:
    """Warm-up 100: the first update is agent step 101's. At UTD 2, ten updates are done after agent step 105."""
    assert resets(ResetEvery(grad_steps=10), 117, utd=2, warmup=100) == [106, 111, 116]
    # 7, 14 and 21 updates are complete after agent steps 104 (8), 107 (14) and 111 (22).
    assert resets(ResetEvery(grad_steps=7), 113, utd=2, warmup=100) == [105, 108, 112]


def test_listed_steps_reset_once_each() -> None:
    assert resets(ResetAt((5, 9, 40)), 30) == [5, 9]
    assert next_reset(ResetAt((5, 9)), 9, utd=1, warmup=1, action_repeat=1) is None


def test_no_reset_before_the_first_update() -> None:
    """Warm-up 20: agent step 21 is the first with updates, so 22 is the first that a reset can affect."""
    assert resets(ResetAt((5, 20, 21, 22, 30)), 50, warmup=20) == [22, 30]
    assert resets(ResetEvery(env_steps=10), 50, warmup=20) == [31, 41]
    assert resets(ResetEvery(env_steps=7), 40, warmup=20) == [22, 29, 36]


def test_next_reset_does_not_depend_on_the_starting_step() -> None:
    """A resumed run has the same resets as an uninterrupted one."""
    for when in (ResetEvery(env_steps=7), ResetEvery(grad_steps=9), ResetAt((24, 31, 40))):
        every = resets(when, 60, utd=2, warmup=20, action_repeat=3)
        for after in range(60):
            expected = next((step for step in every if step > after), None)
            found = next_reset(when, after, utd=2, warmup=20, action_repeat=3)
            assert found == expected or (found is not None and found > 60 and expected is None)


def of_preset(algorithm: Algorithm, until: int) -> list[int]:
    assert algorithm.action_repeat == 1
    return resets(algorithm.resets, until, algorithm.utd, algorithm.warmup_transitions)


def test_presets_reset_at_their_published_steps() -> None:
    after_1m = [1_000_001, 1_500_001, 2_000_001]
    assert of_preset(bro(), 2_100_000) == [15_001, 50_001, 250_001, 500_001, 750_001, *after_1m]
    assert of_preset(bro(utd=2), 2_100_000) == [15_001]
    # Multiples of 80,000 from the start of the run, warm-up included.
    assert of_preset(sr_sac(), 300_000) == [80_001, 160_001, 240_001]
    assert of_preset(sr_sac(utd=16), 300_000) == [80_001, 160_001, 240_001]


# -------------------------------------------------------------------- what a reset does


@pytest.fixture(scope="module")
def worn() -> LearnerState:
    """Return a state that differs from every initial state."""
    return jax.tree.map(
        lambda x: x + 3 if jnp.issubdtype(x.dtype, jnp.number) else x,
        compiled_init(tiny_preset("bro").replace(observation_norm=tiny_preset("simba").observation_norm))(
            jax.random.key(0)
        ),
    )


def test_reset_equals_init_except_for_statistics(worn: LearnerState) -> None:
    algorithm = tiny_preset("bro").replace(observation_norm=tiny_preset("simba").observation_norm)
    reset = jax.jit(learner(algorithm).reset)(worn)
    assert same_bits(reset.observations, worn.observations)
    next_key, fresh_key = jax.random.split(worn.key)
    assert same_bits(reset.key, next_key)
    fresh = named_leaves(compiled_init(algorithm)(fresh_key)._replace(key=next_key, observations=worn.observations))
    for name, leaf in named_leaves(reset).items():
        np.testing.assert_allclose(leaf, fresh[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert float(reset.log_alpha) == 0.0
    assert int(reset.critic.opt_state[0].count) == 0
    assert same_bits(reset.target_critic, reset.critic.params)


def test_networks_differ_between_resets_and_seeds(worn: LearnerState) -> None:
    algorithm = tiny_preset("bro").replace(observation_norm=tiny_preset("simba").observation_norm)
    reset = jax.jit(learner(algorithm).reset)
    states = [reset(worn), reset(reset(worn)), reset(worn._replace(key=jax.random.key(5)))]
    for kernel in (
        lambda state: state.actor.params["torso"]["dense"]["kernel"],
        lambda state: state.critic.params["head"]["kernel"],
        lambda state: state.optimist.params["shift"]["kernel"],
    ):
        assert len({np.asarray(kernel(state)).tobytes() for state in states}) == 3
