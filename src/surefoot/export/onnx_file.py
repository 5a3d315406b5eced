"""ONNX models: input "observation" [batch, O] float32, output "action" [batch, A] float32."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.errors import MissingDependency
from surefoot.export.folding import Affine, Centre, Dense, Layer, LayerNorm, Relu, Residual, RMSNorm

if TYPE_CHECKING:
    import onnx

# The first operator set with LayerNormalization, and its format: runtimes from 2022 on support them.
_OPSET, _IR_VERSION = 17, 8


def require_packages() -> None:
    """Import the packages that an export needs.

    Raises:
        MissingDependency: onnx is not installed, or onnxruntime, with which the model is checked.
    """
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingDependency(package, "export", "export to ONNX") from error


def encode(layers: Sequence[Layer], low: np.ndarray, high: np.ndarray, metadata: Mapping[str, Any]) -> bytes:
    """Return a model as bytes; equal arguments give equal bytes.

    Args:
        layers: The policy from the observation to the input of the tanh.
        low: Lower action bounds [A] in the environment's own units, float32.
        high: Upper action bounds [A], likewise.
        metadata: JSON values. Each entry becomes a metadata property of the model: strings as they are, anything else
            as JSON.
    """
    import onnx

    lower, upper = low.astype(np.float64), high.astype(np.float64)
    graph = _Graph()
    x = graph.node("Tanh", graph.layers(layers, "observation"))
    x = graph.node("Mul", x, graph.constant("action/half_span", 0.5 * (upper - lower)))
    x = graph.node("Add", x, graph.constant("action/centre", 0.5 * (upper + lower)))
    # Rounding may carry the sum past a bound by its last digit.
    x = graph.node("Max", x, graph.constant("action/low", low))
    graph.node("Min", x, graph.constant("action/high", high), output="action")
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
    """Run a model in ONNX Runtime on observations [B, O] and return the actions [B, A]."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # it has no types
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["action"], {"observation": observation})[0]


class _Graph:
    """An ONNX graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        import onnx

        with np.errstate(over="ignore"):  # becomes infinite, which the comparison with the trained actor rejects
            rounded = np.ascontiguousarray(array, dtype=np.float32)
        self._constants.append(onnx.numpy_helper.from_array(rounded, name))
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
        prefix = f"layer_{len(self._nodes)}"

        def constant(part: str) -> str:
            return self.constant(f"{prefix}/{part}", getattr(layer, part))

        match layer:
            case Centre():
                return self.node("Sub", x, constant("mean"))
            case Affine():
                return self.node("Add", self.node("Mul", x, constant("scale")), constant("offset"))
            case Dense():
                return self.node("Gemm", x, constant("kernel"), constant("bias"))
            case LayerNorm():
                parts = constant("scale"), constant("bias")
                return self.node("LayerNormalization", x, *parts, axis=-1, epsilon=layer.epsilon)
            case RMSNorm():
                # There is no such operator before operator set 23.
                mean_square = self.node("ReduceMean", self.node("Mul", x, x), axes=[-1])
                floored = self.node("Add", mean_square, self.constant(f"{prefix}/epsilon", np.array(layer.epsilon)))
                return self.node("Mul", self.node("Div", x, self.node("Sqrt", floored)), constant("scale"))
            case Relu():
                return self.node("Relu", x)
            case Residual():
                return self.node("Add", x, self.layers(layer.layers, x))
