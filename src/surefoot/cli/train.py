"""``surefoot train`` and ``surefoot resume``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from surefoot.cli.options import (
    CapacityInt,
    DataName,
    Int,
    KeptInt,
    OutPath,
    PresetFloat,
    PresetInt,
    PresetPart,
    RunPath,
    RunTask,
    SourcePath,
    TaskFloat,
    TaskInt,
    TaskName,
    WorkersInt,
)
from surefoot.cli.sync import DashboardNames

INTERRUPTED = 130

_OVERRIDES = (
    "utd",
    "batch_size",
    "policy_delay",
    "warmup_transitions",
    "discount",
    "action_repeat",
    "learning_rate",
    "num_critics",
)
_PARTS = (
    "actor",
    "critic",
    "policy",
    "target",
    "target_reduction",
    "policy_reduction",
    "critic_pass",
    "critic_loss",
    "weight_constraint",
    "resets",
    "optimism",
    "observation_norm",
    "reward_scaling",
    "critic_optimizer",
    "actor_optimizer",
    "temperature",
    "update_order",
)
_SETTINGS = (
    "num_seeds",
    "seed",
    "env_steps",
    "evaluate_every",
    "evaluation_episodes",
    "checkpoint_every",
    "log_every",
    "diagnose_every",
    "precision",
    "overlap",
    "curvature",
    "replay_capacity",
    "env_workers",
    "out",
    "overwrite",
    "init_from",
    "init_replay",
    "prefill",
)


@dataclass(frozen=True)
class Train:
    """Train an algorithm on a task; the run directory keeps the configuration, logs, checkpoints and the policy."""

    task: TaskName
    """A name that `surefoot tasks` lists, a registered Gymnasium id, or module:callable."""
    algorithm: str = "crossq-wn"
    """A name that `surefoot algorithms` lists."""

    utd: PresetInt = None
    """Gradient updates per agent step (decision) once the warm-up is over."""
    batch_size: PresetInt = None
    """Transitions per gradient update."""
    policy_delay: PresetInt = None
    """Critic updates for each update of the actor and the temperature."""
    warmup_transitions: PresetInt = None
    """Transitions collected with uniform random actions, per seed, before the updates start."""
    discount: TaskFloat = None
    """Discount per agent step, between 0 and 1."""
    action_repeat: TaskInt = None
    """Simulator control steps for which each action is held."""
    learning_rate: PresetFloat = None
    """Learning rate of critic and actor; the temperature keeps its own."""
    num_critics: PresetInt = None
    """Critics in the ensemble."""
    actor: PresetPart = None
    """Torso of the policy: "MLP((256, 256), BatchNorm())", "BroNet(256, 1)", "SimBaNet(128, 1)"."""
    critic: PresetPart = None
    """Torso of each critic, likewise."""
    policy: PresetPart = None
    """TanhGaussian or DeterministicPolicy."""
    target: PresetPart = None
    """Target critic: none, or "PolyakTarget(0.005)"."""
    target_reduction: PresetPart = None
    """From many critics to the target's: Min, Mean, LowestMean, "RandomSubsetMin(2)" or First."""
    policy_reduction: PresetPart = None
    """From many critics to what the policy climbs, likewise."""
    critic_pass: PresetPart = None
    """The critic's pass over (s, a) and (s', a'): joint or separate."""
    critic_loss: PresetPart = None
    """SquaredError, "QuantileHuber(100)" or "CategoricalCrossEntropy(101, -5, 5)"."""
    weight_constraint: PresetPart = None
    """What holds the weights: none, unit-norm, or "L2Penalty(1e-4)"."""
    resets: PresetPart = None
    """Fresh networks, buffer kept: none, "ResetEvery(env_steps=80_000)" or "ResetAt((15_001, 50_001))"."""
    optimism: PresetPart = None
    """A second policy that explores: none or OptimisticActor."""
    observation_norm: PresetPart = None
    """Running normalisation of observations: none or ObservationNorm."""
    reward_scaling: PresetPart = None
    """Scaling of sampled rewards: none or ReturnScaling."""
    critic_optimizer: PresetPart = None
    """Optimiser of the critics: "AdamW(3e-4, weight_decay=0.01)"."""
    actor_optimizer: PresetPart = None
    """Optimiser of the policy, likewise."""
    temperature: PresetPart = None
    """Entropy temperature: "Temperature(0.01, target_entropy=-0.5)", or none for a deterministic policy."""
    update_order: PresetPart = None
    """What an update changes first: critic-first or actor-first."""

    num_seeds: Int = 1
    """Independent agents trained side by side in this process."""
    seed: Int = 0
    """First training seed; the agents use SEED, SEED + 1 and so on."""
    env_steps: Int = 1_000_000
    """Simulator control steps per seed, action repeats included."""
    evaluate_every: Int = 25_000
    """Env steps between evaluations; the first and the last step are always evaluated."""
    evaluation_episodes: Int = 5
    """Episodes per seed and evaluation, with the deterministic action."""
    checkpoint_every: Int = 25_000
    """Env steps between checkpoints; the last step always makes one."""
    log_every: Int = 1_000
    """Env steps between rows of training.csv."""
    diagnose_every: Int = 25_000
    """Env steps between rows of diagnostics.csv: norms, effective learning rates, dead units, Q bias; 0 for none."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the layers' products in updates: bf16 and, on NVIDIA GPUs, tf32 are faster; all else stays in float32."""
    overlap: bool = False
    """Step the environments while the device updates, which then lack the transition of that very agent step; and
    evaluate beside training where cores are left over."""
    curvature: bool = False
    """Measure the curvature of the critic's loss in each of those rows, too; costs about 120 gradients."""
    replay_capacity: CapacityInt = None
    """Transitions kept per seed."""
    env_workers: WorkersInt = None
    """Processes that step environments; 0 steps them in this one."""
    out: OutPath = None
    """Run directory to make."""
    overwrite: bool = False
    """Replace a run that is already in the run directory."""
    init_from: SourcePath = None
    """A run whose networks and temperature to begin with."""
    init_replay: bool = False
    """Begin with that run's newest transitions in the replay buffer, too; they count towards the warm-up."""
    prefill: DataName = None
    """Transitions to begin with: an .npz file, or the id or folder of a Minari dataset; they count likewise."""
    dashboard: DashboardNames = ()
    """Dashboards to feed while the run goes on: tensorboard, wandb, or both."""

    def run(self) -> int:
        """Train, with a display; return the exit code."""
        from surefoot.algorithms.part_text import part_from_text
        from surefoot.algorithms.presets import get_preset
        from surefoot.cli.display import make_display
        from surefoot.dashboards import make_dashboards
        from surefoot.training import api

        parts = {name: part_from_text(name, text) for name, text in _given(self, _PARTS).items()}
        algorithm = get_preset(self.algorithm, **_given(self, _OVERRIDES), **parts)
        settings = {name: getattr(self, name) for name in _SETTINGS}
        dashboards = make_dashboards(self.dashboard)
        with make_display() as display:
            api.train(self.task, algorithm=algorithm, observer=display, callbacks=dashboards, **settings)
        return 0 if display.completed else INTERRUPTED


@dataclass(frozen=True)
class Resume:
    """Go on with a run from its last good checkpoint, exactly as if it had never stopped."""

    path: RunPath
    """The run directory."""
    env_steps: KeptInt = None
    """New total of simulator control steps per seed, to train for longer than first asked."""
    evaluate_every: KeptInt = None
    """Env steps between evaluations from here on."""
    checkpoint_every: KeptInt = None
    """Env steps between checkpoints from here on."""
    log_every: KeptInt = None
    """Env steps between rows of training.csv from here on."""
    diagnose_every: KeptInt = None
    """Env steps between rows of diagnostics.csv from here on; 0 for none."""
    task: RunTask = None
    """The run's task, needed where it is a module:callable: a run directory's word is not enough to run code."""
    dashboard: DashboardNames = ()
    """Dashboards to feed from here on, with the rows so far as well: tensorboard, wandb, or both."""

    def run(self) -> int:
        """Resume, with a display; return the exit code."""
        from surefoot.cli.display import make_display
        from surefoot.dashboards import make_dashboards
        from surefoot.training import api

        changes = _given(
            self, ("env_steps", "evaluate_every", "checkpoint_every", "log_every", "diagnose_every", "task")
        )
        dashboards = make_dashboards(self.dashboard)
        with make_display() as display:
            api.resume(self.path, observer=display, callbacks=dashboards, **changes)
        return 0 if display.completed else INTERRUPTED


def _given(command: Train | Resume, names: tuple[str, ...]) -> dict[str, Any]:
    """The options among ``names`` that were given."""
    return {name: value for name in names if (value := getattr(command, name)) is not None}
