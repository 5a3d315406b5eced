"""A policy as one .npz file: arrays of plain numbers, and a JSON text that says in which order they are applied."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.export.program import Affine, Centre, Dense, Layer, LayerNorm, Program, Relu, Residual
from surefoot.runs.arrays import write_arrays


def encode(program: Program, metadata: Mapping[str, Any]) -> bytes:
    """Return the file's content; equal programs and metadata make equal bytes.

    Args:
        program: the policy.
        metadata: JSON values. They are stored as UTF-8 in the array "metadata" [bytes] uint8, with the "layers" added.
    """
    arrays: dict[str, np.ndarray] = {}
    layers = [_describe(layer, f"layer_{i}", arrays) for i, layer in enumerate(program.layers)]
    text = json.dumps({**metadata, "layers": layers}, indent=1, allow_nan=False)
    bounds = {name: getattr(program, name) for name in ("half_span", "centre", "low", "high")}
    stream = io.BytesIO()
    write_arrays(
        stream,
        {
            **arrays,
            **{f"action/{name}": array for name, array in bounds.items()},
            "metadata": np.frombuffer(text.encode(), np.uint8),
        },
    )
    return stream.getvalue()


def act(content: bytes, observation: np.ndarray) -> np.ndarray:
    """Run a file's content on observations [B, O] as docs/deploy.md tells a reader to; return actions [B, A]."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    x = _run(json.loads(arrays["metadata"].tobytes())["layers"], arrays, observation)
    action = np.tanh(x) * arrays["action/half_span"] + arrays["action/centre"]
    return np.clip(action, arrays["action/low"], arrays["action/high"])


def _describe(layer: Layer, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return a layer as JSON and put its arrays among the others, under names that begin with its own."""

    def store(**parts: np.ndarray) -> dict[str, str]:
        arrays.update({f"{name}/{part}": array for part, array in parts.items()})
        return {part: f"{name}/{part}" for part in parts}

    match layer:
        case Dense():
            return {"op": "dense", **store(kernel=layer.kernel, bias=layer.bias)}
        case Affine():
            return {"op": "affine", **store(scale=layer.scale, offset=layer.offset)}
        case Centre():
            return {"op": "centre", **store(mean=layer.mean)}
        case Relu():
            return {"op": "relu"}
        case LayerNorm():
            return {"op": "layer_norm", **store(scale=layer.scale, bias=layer.bias), "epsilon": layer.epsilon}
        case Residual():
            inner = [_describe(part, f"{name}/{i}", arrays) for i, part in enumerate(layer.layers)]
            return {"op": "residual", "layers": inner}


def _run(layers: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        match layer["op"]:
            case "dense":
                x = x @ arrays[layer["kernel"]] + arrays[layer["bias"]]
            case "affine":
                x = x * arrays[layer["scale"]] + arrays[layer["offset"]]
            case "centre":
                x = x - arrays[layer["mean"]]
            case "relu":
                x = np.maximum(x, np.float32(0))
            case "layer_norm":
                x = x - x.mean(axis=-1, keepdims=True)
                deviation = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(layer["epsilon"]))
                x = x / deviation * arrays[layer["scale"]] + arrays[layer["bias"]]
            case "residual":
                x = x + _run(layer["layers"], arrays, x)
    return x
