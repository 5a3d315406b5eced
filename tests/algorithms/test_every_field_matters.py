"""No knob is dead: every field of an algorithm and its parts, perturbed alone, changes something that can be seen."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import AdamW, Algorithm, Learner, LinearDecay, PolyakTarget, Temperature, UnitNorm
from surefoot.errors import UserError
from surefoot.networks import LogStdRange
from surefoot.tasks import get_task
from surefoot.training.config import TrainConfig
from surefoot.training.setup import Plan, make_plan
from tests.algorithms.support import BATCH, DISCOUNT, SPEC, fixed_batch, fixed_state, learner, named_leaves, tiny
from tests.algorithms.test_policy_delay import conditionals, flops, traced

BASE = tiny(
    critic_optimizer=AdamW(LinearDecay(2e-2, 5e-3, agent_steps=4), weight_decay=0.01, decay="unconstrained"),
    # A branch would be compiled anew for every perturbation; without one, all run the same compiled operations.
    policy_delay=1,
    # Tight enough that both bounds hold somewhere.
    log_std=LogStdRange(-0.3, 0.2, "clip"),
    temperature=Temperature(initial=0.7),
)

# -------------------------------------------------------------------- what can be seen


@functools.cache
def after_two_updates(algorithm: Algorithm) -> dict[str, np.ndarray]:
    """Parameters, statistics and temperature after two updates on fixed data, and the last losses; not the optimisers'
    own state, in which a field may well leave traces that never reach a parameter.
    """
    with jax.enable_x64(True):
        own, state = fixed_state(algorithm), fixed_state(BASE)
        state = state._replace(
            actor=state.actor._replace(opt_state=own.actor.opt_state),
            critic=state.critic._replace(opt_state=own.critic.opt_state),
            target_critic=None if algorithm.target is None else state.target_critic,
            temperature_opt_state=own.temperature_opt_state,
        )
        for i in range(2):
            update = learner(algorithm).update
            state, critic, actor = update(state, fixed_batch(i), jax.random.key(i), jnp.bool_(True))
        seen = (
            *((network.params, network.batch_stats) for network in (state.actor, state.critic)),
            *(state.target_critic, state.log_alpha, critic.critic_loss, actor.actor_loss),
        )
        return named_leaves(seen)


@functools.cache
def initial_shapes(algorithm: Algorithm) -> dict[str, tuple[int, ...]]:
    shapes = jax.eval_shape(learner(algorithm).init, jax.random.key(0))
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)}


@functools.cache
def initial_temperature(algorithm: Algorithm) -> float:
    return float(jax.jit(lambda key: jnp.exp(learner(algorithm).init(key).log_alpha))(jax.random.key(0)))


@functools.cache
def program(algorithm: Algorithm) -> tuple[int, int]:
    """Arithmetic and branches of one agent step."""
    jaxpr = traced(algorithm).jaxpr
    return flops(jaxpr, branches=True), conditionals(jaxpr)


@functools.cache
def plan(algorithm: Algorithm) -> Plan | str:
    """The resolved plan of a run that is just long enough for the base's warm-up, or why there is none."""
    task = get_task("cheetah-run")
    try:
        return make_plan(TrainConfig(task="cheetah-run", algorithm=algorithm, env_steps=2 * (BATCH + 1)), task)
    except UserError as error:
        return str(error)


def differ(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(differ(a[name], b[name]) for name in a)
    return not np.array_equal(a, b) if isinstance(a, np.ndarray) else a != b


# -------------------------------------------------------------------- the fields

type See = Callable[[Algorithm], Any]


def adamw(optimizer: str) -> dict[str, tuple[Any, See]]:
    return {
        f"{optimizer}.b1": (0.5, after_two_updates),
        f"{optimizer}.b2": (0.9, after_two_updates),
        f"{optimizer}.weight_decay": (0.2, after_two_updates),
    }


def network(name: str) -> dict[str, tuple[Any, See]]:
    return {
        f"{name}.widths": ((9,), initial_shapes),
        f"{name}.norm.momentum": (0.5, after_two_updates),
        f"{name}.norm.epsilon": (1e-2, after_two_updates),
    }


PERTURBED: dict[str, tuple[Any, See]] = {
    **network("actor"),
    **network("critic"),
    "num_critics": (3, initial_shapes),
    "log_std.low": (-0.6, after_two_updates),
    "log_std.high": (0.5, after_two_updates),
    "log_std.mapping": ("tanh", after_two_updates),
    "target": (None, after_two_updates),
    "target.tau": (0.5, after_two_updates),
    "critic_pass": ("separate", after_two_updates),
    "weight_constraint": (None, after_two_updates),
    **adamw("critic_optimizer"),
    "critic_optimizer.learning_rate.initial": (3e-2, after_two_updates),
    "critic_optimizer.learning_rate.final": (1e-3, after_two_updates),
    "critic_optimizer.learning_rate.agent_steps": (2, after_two_updates),
    "critic_optimizer.decay": ("all", after_two_updates),
    **adamw("actor_optimizer"),
    "actor_optimizer.learning_rate": (2e-2, after_two_updates),
    "actor_optimizer.decay": ("all", after_two_updates),
    "temperature.initial": (0.1, initial_temperature),
    "temperature.target_entropy": (-0.5, after_two_updates),
    **adamw("temperature.optimizer"),
    "temperature.optimizer.learning_rate": (2e-2, after_two_updates),
    "critic_loss_scale": (1.0, after_two_updates),
    "utd": (2, program),
    "policy_delay": (2, program),
    "batch_size": (BATCH + 1, program),
    "warmup_transitions": (BATCH + 1, plan),
    "discount": (0.5, plan),
    "action_repeat": (1, plan),
}
EXEMPT = {
    "name": "it is for the records and changes nothing",
    "temperature.optimizer.decay": "the temperature has no hidden layers, so either choice decays it",
}


def leaves(part: Any, prefix: str = "") -> Iterator[str]:
    """Every field that is not itself made of fields, by its path."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value) and dataclasses.fields(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def perturb(part: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    new = perturb(getattr(part, name), rest, value) if rest else value
    return dataclasses.replace(part, **{name: new})


def test_every_field_is_perturbed_or_exempt() -> None:
    assert isinstance(BASE.target, PolyakTarget), "the base has every part, so that every part's fields are seen"
    assert isinstance(BASE.weight_constraint, UnitNorm)
    assert BASE.actor.norm is not None
    assert BASE.critic.norm is not None
    paths = set(leaves(BASE))
    assert paths <= PERTURBED.keys() | EXEMPT.keys(), "a new field needs an entry"
    assert {path for path in PERTURBED if path != "target"} | EXEMPT.keys() == paths, "an entry without a field"


@pytest.mark.parametrize("path", PERTURBED)
def test_the_field_matters(path: str) -> None:
    value, see = PERTURBED[path]
    changed = perturb(BASE, path, value)
    assert changed != BASE
    assert differ(see(BASE), see(changed))


@pytest.mark.parametrize("path", EXEMPT)
def test_an_exempt_field_really_changes_nothing(path: str) -> None:
    """An exemption that no longer holds has to go."""
    value = "unconstrained" if path.endswith("decay") else "other"
    base = perturb(BASE, "temperature.optimizer.weight_decay", 0.2)
    assert not differ(after_two_updates(base), after_two_updates(perturb(base, path, value)))


def test_the_discount_reaches_the_learner() -> None:
    """The plan resolves the discount; the learner is built with it."""
    with jax.enable_x64(True):
        targets = [
            Learner(BASE, SPEC, discount).update(fixed_state(BASE), fixed_batch(), jax.random.key(0), jnp.bool_(True))[
                1
            ]
            for discount in (DISCOUNT, 0.5)
        ]
    assert float(targets[0].target_mean) != float(targets[1].target_mean)
