"""Text of a run's progress, for displays."""

from __future__ import annotations

from surefoot.training.events import Progress


def progress_text(event: Progress, env_steps: int) -> str:
    """Return the steps so far of all ``env_steps``, the speeds and the time left."""
    return f"env steps {event.env_steps:,}/{env_steps:,}  {speed_text(event)}"


def speed_text(event: Progress) -> str:
    """Return environment steps and updates per second of all seeds, and the time left."""
    text = f"{event.env_steps_per_second:,.0f} env steps/s  {event.grad_steps_per_second:,.0f} updates/s"
    return text if event.seconds_left is None else f"{text}  {duration_text(event.seconds_left)} left"


def duration_text(seconds: float) -> str:
    """Return a duration in seconds as ``"45s"``, ``"5m 07s"``, ``"2h 03m"``, ``"3d 04h"``."""
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    if total < 86_400:
        return f"{total // 3600}h {total % 3600 // 60:02d}m"
    return f"{total // 86_400}d {total % 86_400 // 3600:02d}h"
