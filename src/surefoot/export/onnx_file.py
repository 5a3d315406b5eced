"""A policy as an ONNX model: input "observation" [batch, O] float32, output "action" [batch, A] float32."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.errors import MissingDependency
from surefoot.export.program import Affine, Centre, Dense, Layer, LayerNorm, Program, Relu, Residual

if TYPE_CHECKING:
    import onnx

_OPSET, _IR_VERSION = 17, 8
"""The first operator set with LayerNormalization, and its format: runtimes from 2022 on read them."""


def require_packages() -> None:
    """Refuse now what would fail later.

    Raises:
        MissingDependency: onnx, or onnxruntime, which the check needs.
    """
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingDependency(package, "export", "export to ONNX") from error


def encode(program: Program, metadata: Mapping[str, Any]) -> bytes:
    """Return the file's content.

    Args:
        program: the policy.
        metadata: JSON values; each entry becomes one of the model's metadata properties, texts as they are and
            anything else as JSON.
    """
    import onnx

    graph = _Graph()
    x = graph.layers(program.layers, "observation")
    x = graph.node("Tanh", x)
    x = graph.node("Mul", x, graph.constant("action/half_span", program.half_span))
    x = graph.node("Add", x, graph.constant("action/centre", program.centre))
    # Rounding may carry the sum past a bound by its last digit.
    x = graph.node("Max", x, graph.constant("action/low", program.low))
    graph.node("Min", x, graph.constant("action/high", program.high), output="action")
    model = onnx.helper.make_model(
        graph.finish(metadata["observation"]["size"], metadata["action"]["size"]),
        producer_name="surefoot",
        producer_version=metadata["versions"]["surefoot"],
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        doc_string=f"{metadata['task']} policy trained by {metadata['algorithm']}",
    )
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def act(content: bytes, observation: np.ndarray) -> np.ndarray:
    """Run a file's content in onnxruntime on observations [B, O]; return actions [B, A]."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no types
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["action"], {"observation": observation})[0]


class _Graph:
    """Nodes and constants while they are put together; values are named by the node that makes them."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        import onnx

        self._constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        import onnx

        name = output or f"value_{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(op, inputs, [name], **attributes))
        return name

    def layers(self, layers: Sequence[Layer], x: str) -> str:
        for layer in layers:
            x = self._layer(layer, x)
        return x

    def finish(self, observation_size: int, action_size: int) -> onnx.GraphProto:
        import onnx

        def value(name: str, size: int) -> onnx.ValueInfoProto:
            return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])

        inputs, outputs = [value("observation", observation_size)], [value("action", action_size)]
        return onnx.helper.make_graph(self._nodes, "policy", inputs, outputs, self._constants)

    def _layer(self, layer: Layer, x: str) -> str:
        place = f"layer_{len(self._nodes)}"
        match layer:
            case Dense():
                kernel = self.constant(f"{place}/kernel", layer.kernel)
                return self.node("Gemm", x, kernel, self.constant(f"{place}/bias", layer.bias))
            case Affine():
                scaled = self.node("Mul", x, self.constant(f"{place}/scale", layer.scale))
                return self.node("Add", scaled, self.constant(f"{place}/offset", layer.offset))
            case Centre():
                return self.node("Sub", x, self.constant(f"{place}/mean", layer.mean))
            case Relu():
                return self.node("Relu", x)
            case LayerNorm():
                scale = self.constant(f"{place}/scale", layer.scale)
                bias = self.constant(f"{place}/bias", layer.bias)
                return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=layer.epsilon)
            case Residual():
                return self.node("Add", x, self.layers(layer.layers, x))
