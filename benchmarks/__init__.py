"""Speed benchmarks of the training step; run them from the repository's root, as ``make bench`` does."""
