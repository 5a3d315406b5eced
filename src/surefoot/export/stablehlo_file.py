"""A policy as StableHLO: a zip of a JAX export for any batch size, a module for a batch of one, and the metadata."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from surefoot.export.program import Affine, Centre, Dense, Layer, LayerNorm, Program, Relu, Residual

JAX_EXPORT = "policy.jax_export"
"""What ``jax.export.deserialize`` reads; its batch axis is dynamic."""
MODULE = "policy_batch_1.mlirbc"
"""A StableHLO portable artifact of static shapes, which compilers outside of JAX take more easily."""
METADATA = "metadata.json"

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""Every member carries the same time, so equal policies make equal files."""


def encode(program: Program, metadata: Mapping[str, Any]) -> bytes:
    """Return the file's content.

    Args:
        program: the policy.
        metadata: JSON values.
    """
    function = jax.jit(_as_function(program))
    size = metadata["observation"]["size"]

    def shape(batch: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, size), jnp.float32)

    (batch,) = jax_export.symbolic_shape("batch")
    anywhere = jax_export.export(function, platforms=_PLATFORMS)(shape(batch))
    # Exported for one platform: a module for several takes the platform's number as one more argument.
    single = jax_export.export(function, platforms=_PLATFORMS[:1])(shape(1))
    members = {
        JAX_EXPORT: bytes(anywhere.serialize()),
        MODULE: single.mlir_module_serialized,
        METADATA: (json.dumps(metadata, indent=1, allow_nan=False) + "\n").encode(),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), content)
    return stream.getvalue()


def act(content: bytes, observation: np.ndarray) -> np.ndarray:
    """Run a file's content on observations [B, O]; return actions [B, A]."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        exported = jax_export.deserialize(bytearray(archive.read(JAX_EXPORT)))
    return np.asarray(exported.call(observation))


def _as_function(program: Program) -> Callable[[jax.Array], jax.Array]:
    low, high, half_span, centre = (
        jnp.asarray(array)[None] for array in (program.low, program.high, program.half_span, program.centre)
    )

    def function(observation: jax.Array) -> jax.Array:
        x = _run(program.layers, observation)
        return jnp.clip(jnp.tanh(x) * half_span + centre, low, high)

    return function


def _run(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
    for layer in layers:
        x = _apply(layer, x)
    return x


def _apply(layer: Layer, x: jax.Array) -> jax.Array:
    match layer:
        case Dense():
            # Full float32 also where the hardware would rather round the factors.
            return jnp.matmul(x, layer.kernel, precision="highest") + layer.bias[None]
        case Affine():
            return x * layer.scale[None] + layer.offset[None]
        case Centre():
            return x - layer.mean[None]
        case Relu():
            return jnp.maximum(x, 0.0)
        case LayerNorm():
            centred = x - jnp.mean(x, axis=-1, keepdims=True)
            variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
            return centred / jnp.sqrt(variance + layer.epsilon) * layer.scale[None] + layer.bias[None]
        case Residual():
            return x + _run(layer.layers, x)
