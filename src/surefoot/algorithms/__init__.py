"""surefoot.algorithms."""
