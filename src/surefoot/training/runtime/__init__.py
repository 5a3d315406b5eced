"""Background jobs, the compilation cache, speeds and failures of a run."""
