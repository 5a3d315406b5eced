"""Every field of an algorithm and its parts, perturbed alone, changes a program, a shape or a plan."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import partial_eval

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    BoundedReturnScaling,
    CategoricalCrossEntropy,
    CosineDecay,
    DeterministicPolicy,
    First,
    HeldNoise,
    L2Penalty,
    Learner,
    LearnerState,
    LinearDecay,
    Mean,
    ObservationNorm,
    OptimisticActor,
    PolyakTarget,
    QuantileHuber,
    RandomSubsetMin,
    ResetAt,
    ResetEvery,
    ReturnScaling,
    TanhGaussian,
    Temperature,
    UnitNorm,
    next_reset,
)
from surefoot.algorithms.serialization import PARTS
from surefoot.errors import UserError
from surefoot.networks import (
    MLP,
    BatchNorm,
    BatchRenorm,
    BroNet,
    FlashSACNet,
    LayerNorm,
    LogStdRange,
    RMSNorm,
    SimBaNet,
)
from surefoot.tasks import get_task
from surefoot.training.config import TrainConfig
from surefoot.training.plan import Plan, make_plan
from surefoot.types import Batch
from tests.algorithms.support import (
    BATCH,
    DISCOUNT,
    SPEC,
    UNIFORM_WIDTHS,
    fixed_batch,
    learner,
    tiny,
)
from tests.algorithms.test_policy_delay import conditionals, flops, traced

BASE = tiny(
    # Equal layers, so that there are few shapes to compile.
    actor=MLP(UNIFORM_WIDTHS, BatchNorm()),
    critic=MLP(UNIFORM_WIDTHS, BatchNorm()),
    critic_optimizer=AdamW(LinearDecay(2e-2, 5e-3, agent_steps=4), weight_decay=0.01, decay="outside-hidden"),
    # A branch would be compiled for every perturbation; without one, all use the same compiled operations.
    policy_delay=1,
    # Tight enough that both bounds hold somewhere.
    policy=TanhGaussian(LogStdRange(-0.3, 0.2, "clip")),
    temperature=Temperature(initial=0.7),
)

# -------------------------------------------------------------------- programs


def program(function: Callable[..., Any], *arguments: Any) -> tuple[str, list[bytes]]:
    """Return a function's jaxpr without dead code as text, and its constants."""
    with jax.enable_x64(True):
        closed = jax.make_jaxpr(function)(*arguments)
    jaxpr, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    assert all(used)
    return re.sub(r" at 0x[0-9a-f]+", "", str(jaxpr)), [np.asarray(const).tobytes() for const in closed.consts]


@functools.cache
def update(algorithm: Algorithm) -> Any:
    """The program of one update's losses, parameters and statistics, without the optimisers' own state, in which a
    field may leave traces that never reach a parameter.
    """
    functions = learner(algorithm)

    def outputs(state: LearnerState, batch: Batch, key: jax.Array) -> Any:
        state, critic, actor = functions.update(state, batch, key, jnp.bool_(True))
        networks = [(network.params, network.batch_stats) for network in (state.actor, state.critic)]
        optimist = None if state.optimist is None else (state.optimist.params, state.optimist.weights)
        return networks, optimist, state.target_critic, state.log_alpha, critic.critic_loss, actor.actor_loss

    state = jax.eval_shape(functions.init, jax.random.key(0))
    return program(outputs, state, fixed_batch(), jax.random.key(0))


@functools.cache
def losses(algorithm: Algorithm) -> Any:
    """Return the program of both losses, without gradients."""
    functions = learner(algorithm)

    def outputs(state: LearnerState, batch: Batch, key: jax.Array) -> Any:
        batch = functions.statistics.preprocess(state, batch)
        critic, (batch_stats, _, _) = functions.critic_loss(state.critic.params, state, batch, key)
        return critic, batch_stats, functions.actor_loss(state.actor.params, state, batch, key)[0]

    state = jax.eval_shape(functions.init, jax.random.key(0))
    return program(outputs, state, fixed_batch(), jax.random.key(0))


@functools.cache
def init(algorithm: Algorithm) -> Any:
    """Return the program of the initial state, without the optimisers."""

    def outputs(key: jax.Array) -> Any:
        state = learner(algorithm).init(key)
        optimist = None if state.optimist is None else (state.optimist.params, state.optimist.weights)
        return state.actor.params, state.critic.params, state.log_alpha, optimist

    return program(outputs, jax.random.key(0))


@functools.cache
def act(algorithm: Algorithm) -> Any:
    """Return the program of an exploring action."""
    state = jax.eval_shape(learner(algorithm).init, jax.random.key(0))
    return program(learner(algorithm).act, state, fixed_batch().observation[0], jax.random.key(0))


@functools.cache
def next_noise(algorithm: Algorithm) -> Any:
    """The program that holds or renews the exploration noise."""
    state = jax.eval_shape(learner(algorithm).init, jax.random.key(0))
    return program(lambda *given: learner(algorithm).advance_noise(*given).held_noise, state, jax.random.key(0))


@functools.cache
def initial_shapes(algorithm: Algorithm) -> dict[str, tuple[int, ...]]:
    shapes = jax.eval_shape(learner(algorithm).init, jax.random.key(0))
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)}


def reset_times(algorithm: Algorithm) -> int | None:
    return next_reset(algorithm.resets, 0, utd=2, warmup=10, action_repeat=3)


@functools.cache
def agent_step(algorithm: Algorithm) -> tuple[int, int]:
    """Return the arithmetic and branches of one agent step."""
    jaxpr = traced(algorithm).jaxpr
    return flops(jaxpr, branches=True), conditionals(jaxpr)


@functools.cache
def plan(algorithm: Algorithm) -> Plan | str:
    """Return the resolved plan of a run slightly longer than the base's warm-up, or its error."""
    task = get_task("cheetah-run")
    try:
        return make_plan(TrainConfig(task="cheetah-run", algorithm=algorithm, env_steps=2 * (BATCH + 1)), task)
    except UserError as error:
        return str(error)


# -------------------------------------------------------------------- the fields of a composition

type See = Callable[[Algorithm], Any]


def adamw(optimizer: str) -> dict[str, tuple[Any, See]]:
    return {
        f"{optimizer}.b1": (0.5, update),
        f"{optimizer}.b2": (0.9, update),
        f"{optimizer}.weight_decay": (0.2, update),
    }


def network(name: str) -> dict[str, tuple[Any, See]]:
    return {
        f"{name}.widths": ((9,), initial_shapes),
        f"{name}.norm.momentum": (0.5, update),
        f"{name}.norm.epsilon": (1e-2, update),
        f"{name}.norm.running_variance": ("unbiased", update),
        f"{name}.norm_order": ("pre", losses),
        f"{name}.bias": (False, initial_shapes),
        f"{name}.dropout": (0.5, losses),
        f"{name}.init": ("lecun", init),
    }


PERTURBED: dict[str, tuple[Any, See]] = {
    **network("actor"),
    **network("critic"),
    "num_critics": (3, initial_shapes),
    "policy.log_std.low": (-0.6, update),
    "policy.log_std.high": (0.5, update),
    "policy.log_std.mapping": ("tanh", update),
    "target": (None, update),
    "target.tau": (0.5, update),
    "target_reduction": (Mean(), losses),
    "policy_reduction": (First(), losses),
    "critic_pass": ("separate", update),
    "actor_pass": ("joint", update),
    "critic_loss.scale": (1.0, update),
    "weight_constraint": (None, update),
    "weight_constraint.layers": ("all", update),
    "resets": (ResetEvery(grad_steps=7), reset_times),
    "optimism": (OptimisticActor(BroNet(6, 1)), initial_shapes),
    "held_noise": (HeldNoise(), initial_shapes),
    "observation_norm": (ObservationNorm(), initial_shapes),
    "reward_scaling": (ReturnScaling(), initial_shapes),
    **adamw("critic_optimizer"),
    "critic_optimizer.learning_rate.initial": (3e-2, update),
    "critic_optimizer.learning_rate.final": (1e-3, update),
    "critic_optimizer.learning_rate.agent_steps": (2, update),
    "critic_optimizer.decay": ("all", update),
    **adamw("actor_optimizer"),
    "actor_optimizer.learning_rate": (2e-2, update),
    "actor_optimizer.decay": ("all", update),
    "temperature.initial": (0.1, init),
    "temperature.target_entropy": (-0.5, update),
    **adamw("temperature.optimizer"),
    "temperature.optimizer.learning_rate": (2e-2, update),
    "temperature.loss": ("log-alpha", update),
    "update_order": ("actor-first", update),
    "actor_statistics": ("all-updates", lambda algorithm: update(algorithm.replace(policy_delay=2))),
    "utd": (2, agent_step),
    "policy_delay": (2, agent_step),
    "batch_size": (BATCH + 1, agent_step),
    "warmup_transitions": (BATCH + 1, plan),
    "discount": (0.5, plan),
    "action_repeat": (1, plan),
}
EXEMPT = {
    "name": "it is for the records and changes nothing",
    "temperature.optimizer.decay": "the temperature has no hidden layers, so either choice decays it",
}

# -------------------------------------------------------------------- the fields of parts that the base has not

FREE = BASE.replace(weight_constraint=None, critic_pass="separate")
RENORM = MLP((6, 6), BatchRenorm(max_scale=1.1, max_shift=0.1, warmup_updates=0))
LAYERED = MLP((6, 6), LayerNorm(), norm_order="pre")
DECAYED = AdamW(1e-2, weight_decay=0.1)
HAVING: dict[str, Algorithm] = {
    "renorm": FREE.replace(critic=RENORM, target=None),
    "layer-norm": FREE.replace(critic=LAYERED),
    "bro-net": FREE.replace(critic=BroNet(6, 1)),
    "simba-net": FREE.replace(critic=SimBaNet(6, 1, 2)),
    "flashsac-net": FREE.replace(critic=FlashSACNet(6, 1, 2)),
    "rms-norm": FREE.replace(critic=MLP((6, 6), RMSNorm(), norm_order="pre")),
    "quantiles": FREE.replace(critic_loss=QuantileHuber(5, 0.5), target_reduction=Mean()),
    "categories": FREE.replace(critic_loss=CategoricalCrossEntropy(5, -1.0, 1.0), target_reduction=Mean()),
    "subset": FREE.replace(num_critics=3, target_reduction=RandomSubsetMin(2)),
    "penalty": FREE.replace(weight_constraint=L2Penalty(0.1)),
    "deterministic": FREE.replace(policy=DeterministicPolicy(0.1, 0.5, 0.3), temperature=None),
    "observations": FREE.replace(observation_norm=ObservationNorm()),
    "rewards": FREE.replace(reward_scaling=ReturnScaling()),
    "bounded-rewards": FREE.replace(reward_scaling=BoundedReturnScaling()),
    "held-noise": FREE.replace(held_noise=HeldNoise()),
    "cosine": FREE.replace(critic_optimizer=AdamW(CosineDecay(2e-2, 5e-3, agent_steps=4))),
    "optimism": FREE.replace(optimism=OptimisticActor(BroNet(6, 1), DECAYED, weight_optimizer=DECAYED)),
    "env-resets": FREE.replace(resets=ResetEvery(env_steps=70)),
    "grad-resets": FREE.replace(resets=ResetEvery(grad_steps=70)),
    "listed-resets": FREE.replace(resets=ResetAt((50, 90))),
}


def optimizer_of(name: str) -> dict[tuple[str, str], tuple[Any, See]]:
    return {
        ("optimism", f"optimism.{name}.{field}"): (value, update)
        for field, value in {"learning_rate": 2e-2, "b1": 0.5, "b2": 0.9, "weight_decay": 0.3}.items()
    }


PART_FIELDS: dict[tuple[str, str], tuple[Any, See]] = {
    ("renorm", "critic.norm.momentum"): (0.5, losses),
    ("renorm", "critic.norm.epsilon"): (0.1, losses),
    ("renorm", "critic.norm.max_scale"): (1.5, losses),
    ("renorm", "critic.norm.max_shift"): (0.5, losses),
    ("renorm", "critic.norm.warmup_updates"): (1, losses),
    ("layer-norm", "critic.norm.epsilon"): (0.1, losses),
    ("bro-net", "critic.width"): (7, initial_shapes),
    ("bro-net", "critic.blocks"): (2, initial_shapes),
    ("simba-net", "critic.width"): (7, initial_shapes),
    ("simba-net", "critic.blocks"): (2, initial_shapes),
    ("simba-net", "critic.expansion"): (3, initial_shapes),
    ("flashsac-net", "critic.width"): (7, initial_shapes),
    ("flashsac-net", "critic.blocks"): (2, initial_shapes),
    ("flashsac-net", "critic.expansion"): (3, initial_shapes),
    ("flashsac-net", "critic.norm.epsilon"): (0.1, losses),
    ("rms-norm", "critic.norm.epsilon"): (0.1, losses),
    ("quantiles", "critic_loss.num_quantiles"): (6, initial_shapes),
    ("quantiles", "critic_loss.kappa"): (0.1, losses),
    ("categories", "critic_loss.num_atoms"): (6, initial_shapes),
    ("categories", "critic_loss.low"): (-0.5, losses),
    ("categories", "critic_loss.high"): (0.5, losses),
    ("categories", "critic_loss.over_critics"): ("mean", losses),
    ("subset", "target_reduction.size"): (3, losses),
    ("penalty", "weight_constraint.coefficient"): (0.2, losses),
    ("deterministic", "policy.exploration_noise"): (0.3, act),
    ("deterministic", "policy.target_noise"): (0.1, losses),
    ("deterministic", "policy.target_noise_bound"): (0.1, losses),
    ("observations", "observation_norm.epsilon"): (0.1, losses),
    ("rewards", "reward_scaling.epsilon"): (0.1, losses),
    ("bounded-rewards", "reward_scaling.bound"): (2.0, losses),
    ("bounded-rewards", "reward_scaling.epsilon"): (0.1, losses),
    ("held-noise", "held_noise.exponent"): (1.0, next_noise),
    ("held-noise", "held_noise.max_decisions"): (8, next_noise),
    ("cosine", "critic_optimizer.learning_rate.initial"): (3e-2, update),
    ("cosine", "critic_optimizer.learning_rate.final"): (1e-3, update),
    ("cosine", "critic_optimizer.learning_rate.agent_steps"): (2, update),
    ("optimism", "optimism.torso.width"): (7, initial_shapes),
    ("optimism", "optimism.torso.blocks"): (2, initial_shapes),
    ("optimism", "optimism.std_scale"): (0.5, act),
    ("optimism", "optimism.initial_optimism"): (2.0, init),
    ("optimism", "optimism.initial_kl_weight"): (2.0, init),
    ("optimism", "optimism.target_kl"): (3.0, update),
    **optimizer_of("optimizer"),
    ("optimism", "optimism.optimizer.decay"): ("outside-hidden", update),
    **optimizer_of("weight_optimizer"),
    ("env-resets", "resets.env_steps"): (80, reset_times),
    ("grad-resets", "resets.grad_steps"): (80, reset_times),
    ("listed-resets", "resets.agent_steps"): ((40,), reset_times),
}
PART_EXEMPT = {
    "optimism.weight_optimizer.decay": "the two weights have no hidden layers, so either choice decays both",
}


REPEATED = ("actor.norm.", "actor_optimizer.b", "temperature.optimizer.b", "optimism.optimizer.", "optimism.weight_opt")
"""Fields of a part that the critic has as well: in the slow tier."""


def marks(path: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if path.startswith(REPEATED) else []


@pytest.mark.parametrize(
    ("base", "path"), [pytest.param(*key, id=f"{key[0]}-{key[1]}", marks=marks(key[1])) for key in PART_FIELDS]
)
def test_every_field_of_a_part_changes_its_program(base: str, path: str) -> None:
    value, see = PART_FIELDS[base, path]
    changed = perturb(HAVING[base], path, value)
    assert see(HAVING[base]) != see(changed)


@pytest.mark.parametrize("path", PART_EXEMPT)
def test_exempt_field_of_a_part_changes_nothing(path: str) -> None:
    base = HAVING["optimism"]
    changed = perturb(base, path, "outside-hidden")
    assert changed != base
    assert update(base) == update(changed)


def owner(algorithm: Algorithm, path: str) -> tuple[str, str]:
    """Return the name of the part that a field belongs to, and the field's own name."""
    part: Any = algorithm
    *names, field = path.split(".")
    for name in names:
        part = getattr(part, name)
    return type(part).__name__, field


def test_every_field_of_every_part_is_perturbed_somewhere() -> None:
    """A field whose value is another part is covered by replacing the part, or by that part's own fields."""
    covered = {owner(BASE, path) for path in (*PERTURBED, *EXEMPT)}
    covered |= {owner(HAVING[base], path) for base, path in PART_FIELDS}
    covered |= {owner(HAVING["optimism"], path) for path in PART_EXEMPT}
    for base, paths in {"": PERTURBED, **{key: [p for b, p in PART_FIELDS if b == key] for key in HAVING}}.items():
        for path in paths:
            names = path.split(".")
            for i in range(1, len(names)):
                covered.add(owner(HAVING.get(base, BASE), ".".join(names[:i])))
    every = {(name, field.name) for name, part in PARTS.items() for field in dataclasses.fields(part)}
    assert every - covered == set(), "a new field needs an entry"


def leaves(part: Any, prefix: str = "") -> Iterator[str]:
    """Return every field that has no fields itself, by its path."""
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
    assert isinstance(BASE.target, PolyakTarget), "the base has every part, so that every part's fields are covered"
    assert isinstance(BASE.weight_constraint, UnitNorm)
    assert isinstance(BASE.actor, MLP)
    assert isinstance(BASE.critic, MLP)
    assert isinstance(BASE.actor.norm, BatchNorm)
    assert isinstance(BASE.critic.norm, BatchNorm)
    paths = set(leaves(BASE))
    assert paths <= PERTURBED.keys() | EXEMPT.keys(), "a new field needs an entry"
    whole = {"target", "weight_constraint"}  # parts that are also removed entirely
    assert PERTURBED.keys() - whole | EXEMPT.keys() == paths, "an entry without a field"


@pytest.mark.parametrize("path", [pytest.param(path, marks=marks(path)) for path in PERTURBED])
def test_every_field_changes_its_program(path: str) -> None:
    value, see = PERTURBED[path]
    changed = perturb(BASE, path, value)
    assert changed != BASE
    assert see(BASE) != see(changed)


@pytest.mark.parametrize("path", EXEMPT)
def test_exempt_field_changes_nothing(path: str) -> None:
    """Exemptions that no longer apply must be removed."""
    value = "outside-hidden" if path.endswith("decay") else "other"
    base = perturb(BASE, "temperature.optimizer.weight_decay", 0.2)
    assert update(base) == update(perturb(base, path, value))


def test_programs_are_reproducible() -> None:
    for see in (update, losses, init, act):
        assert see.__wrapped__(BASE) == see(BASE)


def test_discount_changes_the_update_program() -> None:
    """The discount is resolved by the plan and passed to the learner."""
    state, key = jax.eval_shape(learner(BASE).init, jax.random.key(0)), jax.random.key(0)
    programs = [
        program(Learner(BASE, SPEC, discount).update, state, fixed_batch(), key, jnp.bool_(True))
        for discount in (DISCOUNT, 0.5)
    ]
    assert programs[0] != programs[1]
