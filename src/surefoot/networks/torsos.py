"""Torsos: the layers between a network's input and its heads.

- ``MLP``, for SAC, CrossQ, XQC and DroQ;
- ``BroNet``, for BRO (arXiv 2405.16158);
- ``SimBaNet``, for SimBa (arXiv 2410.09754);
- ``FlashSACNet``, for FlashSAC (arXiv 2604.04539).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal

from surefoot.errors import UserError
from surefoot.networks.layers import (
    Dense,
    Dropout,
    Init,
    Layer,
    LayerPath,
    Normalize,
    Relu,
    Residual,
    flat,
    hidden_layers,
)
from surefoot.networks.normalization import (
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    RMSNorm,
    uses_batch_statistics,
)
from surefoot.networks.validation import check_types


class _Torso(abc.ABC):
    """Properties of every torso."""

    @abc.abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers in order."""

    @property
    def hidden_layers(self) -> tuple[LayerPath, ...]:
        """Paths of the hidden dense layers in an actor's or a critic's parameters."""
        return hidden_layers(self.layers())

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether a training pass of one sample depends on the others in its batch."""
        return any(uses_batch_statistics(layer.norm) for layer in flat(self.layers()) if isinstance(layer, Normalize))

    @property
    def head_init(self) -> Init:
        """Initialisation of the heads."""
        return "orthogonal"


@dataclass(frozen=True)
class MLP(_Torso):
    """A multilayer perceptron.

    Batch normalisation is also applied to the input (arXiv 2502.07523, appendix), the others are not.

    Attributes:
        widths: Units of each hidden layer.
        norm: Normalisation, or None.
        norm_order: "post" to normalise after the activation (CrossQ), "pre" before it (XQC, DroQ).
        bias: Whether the hidden layers have a bias.
        dropout: Dropout rate after each dense layer.
        init: Initialisation of every layer.
    """

    widths: tuple[int, ...]
    norm: BatchNorm | BatchRenorm | LayerNorm | RMSNorm | None = None
    norm_order: Literal["post", "pre"] = "post"
    bias: bool = True
    dropout: float = 0.0
    init: Literal["orthogonal", "lecun"] = "orthogonal"

    def __post_init__(self) -> None:
        """Validate the sizes and the normalisation order."""
        check_types(self)
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"MLP widths must be one or more positive integers, got {self.widths}")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"MLP dropout must be in [0, 1), got {self.dropout}")
        if self.norm is None and self.norm_order != "post":
            raise UserError("MLP norm_order must be 'post' without a norm, got 'pre'")

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers in order."""
        stack: list[Layer] = []
        if self.norm is not None and uses_batch_statistics(self.norm):
            stack.append(Normalize("input_norm", self.norm))
        for i, width in enumerate(self.widths):
            stack.append(Dense(f"dense_{i}", width, self.init, self.bias))
            if self.dropout > 0.0:
                stack.append(Dropout(f"dropout_{i}", self.dropout))
            around: list[Layer] = [Relu()]
            if self.norm is not None:
                around.insert(1 if self.norm_order == "post" else 0, Normalize(f"norm_{i}", self.norm))
            stack += around
        return tuple(stack)

    @property
    def head_init(self) -> Init:
        """Initialisation of the heads."""
        return self.init


def _check_blocks(part: BroNet | SimBaNet | FlashSACNet) -> None:
    check_types(part)
    if part.width < 1 or part.blocks < 0:
        raise UserError(
            f"{type(part).__name__} needs width >= 1 and blocks >= 0, got width={part.width}, blocks={part.blocks}"
        )
    if not isinstance(part, BroNet) and part.expansion < 1:
        raise UserError(f"{type(part).__name__} expansion must be at least 1, got {part.expansion}")


@dataclass(frozen=True)
class BroNet(_Torso):
    """Dense -> LN -> ReLU, then blocks of x + (Dense -> LN -> ReLU -> Dense -> LN)(x).

    Attributes:
        width: Units of every layer.
        blocks: Number of residual blocks.
    """

    width: int = 512
    blocks: int = 2

    def __post_init__(self) -> None:
        """Validate the sizes."""
        _check_blocks(self)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers in order."""
        stack: list[Layer] = [Dense("dense", self.width), Normalize("norm", LayerNorm()), Relu()]
        for i in range(self.blocks):
            first = (Dense(f"block_{i}_dense_0", self.width), Normalize(f"block_{i}_norm_0", LayerNorm()), Relu())
            second = (Dense(f"block_{i}_dense_1", self.width), Normalize(f"block_{i}_norm_1", LayerNorm()))
            stack.append(Residual((*first, *second)))
        return tuple(stack)


@dataclass(frozen=True)
class SimBaNet(_Torso):
    """Dense, then blocks of x + (LN -> Dense -> ReLU -> Dense)(x) with a wider inner layer, then LN.

    Attributes:
        width: Units between the blocks.
        blocks: Number of residual blocks.
        expansion: Ratio of a block's inner width to ``width``.
    """

    width: int = 512
    blocks: int = 2
    expansion: int = 4

    def __post_init__(self) -> None:
        """Validate the sizes."""
        _check_blocks(self)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers in order."""
        stack: list[Layer] = [Dense("dense", self.width, "orthogonal-unit")]
        for i in range(self.blocks):
            inner = Dense(f"block_{i}_dense_0", self.expansion * self.width, "he")
            outer = Dense(f"block_{i}_dense_1", self.width, "he")
            stack.append(Residual((Normalize(f"block_{i}_norm", LayerNorm()), inner, Relu(), outer)))
        return (*stack, Normalize("norm", LayerNorm()))

    @property
    def head_init(self) -> Init:
        """Initialisation of the heads."""
        return "orthogonal-unit"


@dataclass(frozen=True)
class FlashSACNet(_Torso):
    """BN -> Dense, then blocks of x + (Dense -> BN -> ReLU -> Dense -> BN -> ReLU)(x), then RMSNorm; no biases.

    Attributes:
        width: Units between the blocks.
        blocks: Number of residual blocks.
        expansion: Ratio of a block's inner width to ``width``.
        norm: Batch normalisation of the input and within the blocks.
    """

    width: int = 256
    blocks: int = 2
    expansion: int = 4
    norm: BatchNorm = BatchNorm(momentum=0.99, epsilon=1e-5, running_variance="unbiased")

    def __post_init__(self) -> None:
        """Validate the sizes."""
        _check_blocks(self)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers in order."""
        stack: list[Layer] = [Normalize("input_norm", self.norm), self._dense("dense", self.width)]
        for i in range(self.blocks):
            block: list[Layer] = []
            for j, width in enumerate((self.expansion * self.width, self.width)):
                block += [self._dense(f"block_{i}_dense_{j}", width), Normalize(f"block_{i}_norm_{j}", self.norm)]
                block.append(Relu())
            stack.append(Residual(tuple(block)))
        return (*stack, Normalize("norm", RMSNorm()))

    @property
    def head_init(self) -> Init:
        """Initialisation of the heads."""
        return "orthogonal-unit"

    def _dense(self, name: str, width: int) -> Dense:
        return Dense(name, width, "orthogonal-unit", bias=False)


type TorsoConfig = MLP | BroNet | SimBaNet | FlashSACNet
"""Configuration of a network before its heads."""
