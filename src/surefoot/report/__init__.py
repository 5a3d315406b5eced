"""Figures and tables from run directories, with NumPy and without JAX."""
