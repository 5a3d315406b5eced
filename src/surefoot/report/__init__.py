"""From run directories to figures and tables, from their files alone: NumPy, no JAX."""
