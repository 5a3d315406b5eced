"""Grids of runs: tasks x algorithms x seeds, on this machine or a cluster."""
