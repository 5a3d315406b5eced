"""Videos of trained policies. Needs a simulator and ffmpeg; no JAX."""

from surefoot.video.record import Progress, Recording, Tile, record

__all__ = ["Progress", "Recording", "Tile", "record"]
