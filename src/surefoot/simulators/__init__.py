"""Environments written in JAX, which the training program steps itself."""
