"""Export of trained policies to ONNX."""
