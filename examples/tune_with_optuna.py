"""Hyperparameter tuning with Optuna and pruning of weak trials (`pip install optuna`).

A callback reports every evaluation to Optuna. To prune a trial, it raises Optuna's exception, which stops the run and
propagates out of `surefoot.train`.
"""

import argparse
import dataclasses

import numpy as np
import optuna

import surefoot
from surefoot.training.events import EvaluationDone

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--task", default="Pendulum-v1")
parser.add_argument("--trials", type=int, default=12)
parser.add_argument("--fast", action="store_true", help="two short trials with small networks")
args = parser.parse_args()

base = surefoot.crossq_wn_code(utd=1).replace(warmup_transitions=1_000)
settings = {"env_steps": 5_000, "evaluate_every": 1_000, "num_seeds": 2, "overwrite": True}
if args.fast:
    args.task, args.trials = "probe-action", 2
    narrow = dataclasses.replace(base.critic, widths=(16, 16))
    base = base.replace(actor=narrow, critic=narrow, batch_size=16, warmup_transitions=100)
    settings |= {"env_steps": 120, "evaluate_every": 60, "num_seeds": 1}


class Prune(surefoot.Callback):
    """Reports the mean return over seeds and stops trials that Optuna prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial, self.score = trial, -np.inf

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Report the mean over seeds."""
        self.score = float(np.nanmean(event.returns))  # NaN: the seed has diverged
        self.trial.report(self.score, event.env_steps)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial: optuna.Trial) -> float:
    """Train with the suggested values; return the mean return of the last evaluation."""
    rate = trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True)
    adamw = dataclasses.replace(base.critic_optimizer, learning_rate=rate)
    temperature = dataclasses.replace(base.temperature, target_entropy=trial.suggest_float("target_entropy", -1.5, 0.0))
    algorithm = base.replace(critic_optimizer=adamw, actor_optimizer=adamw, temperature=temperature)
    prune, out = Prune(trial), f"runs/tuning/{trial.number}"
    surefoot.train(args.task, algorithm=algorithm, callbacks=[prune], out=out, **settings)
    return prune.score


pruner = optuna.pruners.MedianPruner(n_startup_trials=4)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
study.optimize(objective, n_trials=args.trials, catch=surefoot.RunFailure)  # for example, if every seed diverged
pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
print(f"best return {study.best_value:.1f} with {study.best_params}; {len(pruned)} of {args.trials} trials pruned")
