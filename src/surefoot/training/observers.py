"""The observer for whoever names none: one plain line per evaluation."""

from __future__ import annotations

from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted


class PlainObserver:
    """Prints a line when the run starts, at every evaluation, and when it ends."""

    def on_start(self, event: RunStarted) -> None:
        """Say what runs where."""
        print(
            f"{event.task}, {event.algorithm}, UTD {event.utd}, {len(event.seeds)} seeds, env steps "
            f"{event.start_env_steps:,} to {event.env_steps:,}, {event.device}, in {event.path}",
            flush=True,
        )

    def on_progress(self, event: Progress) -> None:
        """Say nothing."""

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Give each seed's mean return, and success where it is defined."""
        returns = " ".join(f"{value:.1f}" for value in event.returns)
        solved = "" if event.successes is None else " solved " + " ".join(f"{v:.0%}" for v in event.successes)
        print(f"env steps {event.env_steps:,}: return {returns}{solved} ({event.wall_seconds:.0f} s)", flush=True)

    def on_message(self, text: str) -> None:
        """Pass it on."""
        print(text, flush=True)

    def on_finish(self, event: RunFinished) -> None:
        """Say where the run stands."""
        print(f"{'finished' if event.completed else 'stopped'} at env step {event.env_steps:,}", flush=True)
