"""surefoot.algorithms.presets."""
