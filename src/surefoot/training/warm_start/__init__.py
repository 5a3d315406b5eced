"""Warm starts from another run's networks or from recorded transitions."""
