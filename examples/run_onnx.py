"""Run an exported policy in ONNX Runtime and time it on one core. Needs onnxruntime and NumPy, not surefoot.

    surefoot export runs/dog -o dog.onnx
    python run_onnx.py dog.onnx

With --fast it trains a policy for a few steps and exports that, for which surefoot is needed.
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
    """Load the model, say what it is, act once, and print how long acting takes."""
    parser = argparse.ArgumentParser(description="Run an exported policy and time it on one core.")
    parser.add_argument("file", nargs="?", type=Path, help="an .onnx file that `surefoot export` wrote")
    parser.add_argument("--fast", action="store_true", help="train a tiny policy first and time that")
    options = parser.parse_args()
    if (options.file is None) != options.fast:
        parser.error("give either an .onnx file or --fast")
    content = train_and_export() if options.fast else options.file.read_bytes()
    if hasattr(os, "sched_setaffinity"):  # Linux: stay on one core
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    size = json.loads(about["observation"])["size"]
    print(f"{about['task']}, {about['algorithm']}, seed {about['seed']}, score {about['score']}")
    observation = np.random.default_rng(0).standard_normal((1, size), dtype=np.float32)
    (action,) = session.run(["action"], {"observation": observation})
    print(f"observation {observation.shape} -> action {action.shape}, from {action.min():.3f} to {action.max():.3f}")
    seconds = np.empty(1_000 if options.fast else 20_000)
    for i in range(len(seconds)):
        begin = time.perf_counter()
        session.run(["action"], {"observation": observation})
        seconds[i] = time.perf_counter() - begin
    p50, p99 = np.percentile(1e6 * seconds, (50, 99))
    print(f"p50 {p50:.1f} µs, p99 {p99:.1f} µs per call over {len(seconds):,} calls on one core")


def train_and_export() -> bytes:
    """Return the ONNX model of a policy trained for a few steps on a probe."""
    import surefoot

    with tempfile.TemporaryDirectory() as folder:
        algorithm = surefoot.sac().replace(warmup_transitions=10, batch_size=8)
        run = surefoot.train("probe-action", algorithm=algorithm, env_steps=20, out=Path(folder) / "run")
        return surefoot.export_policy(run.path, out=Path(folder) / "policy.onnx").path.read_bytes()


if __name__ == "__main__":
    main()
