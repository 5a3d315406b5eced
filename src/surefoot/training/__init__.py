"""Training: configuration, loop, evaluation and checkpoints."""
