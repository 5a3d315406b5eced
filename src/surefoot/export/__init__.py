"""Trained policies in files that run without this library: ONNX, NumPy, StableHLO."""
