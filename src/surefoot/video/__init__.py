"""Videos of trained policies at work. Needs a simulator and an encoder; no JAX."""

from surefoot.video.record import Progress, Recording, Tile, record

__all__ = ["Progress", "Recording", "Tile", "record"]
