"""ONNX models: input "observation" [batch, O] float32, output "action" [batch, A] in the environment's dtype."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.errors import MissingDependency
from surefoot.export.folding import Affine, Centre, Dense, Layer, LayerNorm, Relu, Residual, RMSNorm
from surefoot.spaces import ActionSpec

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


def encode(layers: Sequence[Layer], actions: ActionSpec, metadata: Mapping[str, Any]) -> bytes:
    """Return a model as bytes; equal arguments give equal bytes.

    Args:
        layers: The policy from the observation to the input of the tanh.
        actions: Dtype and bounds of the environment's actions.
        metadata: JSON values. Each entry becomes a metadata property of the model: strings as they are, anything else
            as JSON.
    """
    import onnx

    graph = _Graph()
    _scale(graph, graph.node("Tanh", graph.layers(layers, "observation")), actions)
    model = onnx.helper.make_model(
        graph.finish(metadata["observation"]["size"], metadata["action"]["size"], _tensor_type(actions.dtype)),
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


def _scale(graph: _Graph, unit: str, actions: ActionSpec) -> None:
    """Add the nodes from actions in [-1, 1] to those of the environment, as ``ActionSpec.from_unit`` does."""
    precision = "float64" if actions.dtype == "float64" else "float32"  # float32 cannot hold every float64 bound
    low, high = np.array(actions.low), np.array(actions.high)

    def constant(name: str, array: np.ndarray) -> str:
        return graph.constant(f"action/{name}", array, precision)

    x = graph.node("Cast", unit, to=_tensor_type("float64")) if precision == "float64" else unit
    x = graph.node("Mul", x, constant("half_span", 0.5 * (high - low)))
    x = graph.node("Add", x, constant("centre", low + 0.5 * (high - low)))
    # Rounding may carry the sum past a bound by its last digit.
    x = graph.node("Max", x, constant("low", low))
    is_final = precision == actions.dtype
    x = graph.node("Min", x, constant("high", high), output="action" if is_final else None)
    if not is_final:  # float16, in which the bounds are exact: rounding cannot pass them
        graph.node("Cast", x, to=_tensor_type(actions.dtype), output="action")


def _tensor_type(dtype: str) -> int:
    import onnx

    return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class _Graph:
    """An ONNX graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray, dtype: str = "float32") -> str:
        import onnx

        with np.errstate(over="ignore"):  # becomes infinite, which the comparison with the trained actor rejects
            rounded = np.ascontiguousarray(array, dtype=dtype)
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

    def finish(self, observation_size: int, action_size: int, action_type: int) -> onnx.GraphProto:
        import onnx

        def value(name: str, size: int, kind: int) -> onnx.ValueInfoProto:
            return onnx.helper.make_tensor_value_info(name, kind, ["batch", size])

        inputs = [value("observation", observation_size, onnx.TensorProto.FLOAT)]
        outputs = [value("action", action_size, action_type)]
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
