"""Inference and latency of an exported policy in ONNX Runtime; needs onnxruntime and NumPy, not surefoot.

    surefoot export runs/dog -o dog.onnx
    python run_onnx.py dog.onnx

With --fast the script first trains and exports a small policy, which needs surefoot.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Load the model, print its metadata and one action, and measure the latency of an action."""
    parser = argparse.ArgumentParser(description="Run an exported policy and time it on one core.")
    parser.add_argument("file", nargs="?", type=Path, help=".onnx file written by `surefoot export`")
    parser.add_argument("--fast", action="store_true", help="train and export a small policy first")
    options = parser.parse_args()
    if (options.file is None) != options.fast:
        parser.error("give either an .onnx file or --fast")
    model = train_and_export() if options.fast else options.file.read_bytes()
    if hasattr(os, "sched_setaffinity"):  # Linux: stay on one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    size = json.loads(metadata["observation"])["size"]
    print(f"{metadata['task']}, {metadata['algorithm']}, seed {metadata['seed']}, score {metadata['score']}")
    observation = np.random.default_rng(0).standard_normal((1, size), dtype=np.float32)
    (action,) = session.run(["action"], {"observation": observation})
    print(f"observation {observation.shape} -> action {action.shape}, from {action.min():.3f} to {action.max():.3f}")
    seconds = np.empty(1_000 if options.fast else 20_000)
    for i in range(len(seconds)):
        start = time.perf_counter()
        session.run(["action"], {"observation": observation})
        seconds[i] = time.perf_counter() - start
    p50, p99 = np.percentile(1e6 * seconds, (50, 99))
    print(f"p50 {p50:.1f} µs, p99 {p99:.1f} µs per call over {len(seconds):,} calls on one core")


def train_and_export() -> bytes:
    """Return the ONNX model of a policy trained for a few steps on a probe task."""
    import surefoot

    with tempfile.TemporaryDirectory() as folder:
        algorithm = surefoot.sac().replace(warmup_transitions=10, batch_size=8)
        run = surefoot.train("probe-action", algorithm=algorithm, env_steps=20, out=Path(folder) / "run")
        return surefoot.export_policy(run.path, out=Path(folder) / "policy.onnx").path.read_bytes()


if __name__ == "__main__":
    main()
