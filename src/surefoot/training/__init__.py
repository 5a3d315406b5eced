"""surefoot.training."""
