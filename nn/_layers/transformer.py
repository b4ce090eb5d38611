"""The layer that a transformer is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import init
from .._checks import count
from .._module import Module
from .activations import ACTIVATIONS
from .attention import MultiheadAttention
from .dropout import Dropout
from .linear import Linear
from .normalization import LayerNorm

__all__ = ["TransformerEncoderLayer"]


class TransformerEncoderLayer(Module):
    """Self-attention and two Linears applied to each position, both with a shortcut and a norm (Vaswani et al., 2017).

    The batch axis comes first, as in PyTorch with ``batch_first=True``; names of modules are those of PyTorch.

    Shapes: x (N, length, d_model), result like x; one sample has no axis N.

    Args:
        d_model: features of x.
        nhead: number of heads of the attention.
        dim_feedforward: features between the two Linears.
        dropout: probability of dropping in training: weights of the attention, features between the Linears, and the
            results of both parts.
        activation: between the Linears: "relu", "gelu", or another name that :class:`nn.Layer` knows.
        layer_norm_eps: added to the variances.
        norm_first: normalise the input of each part, instead of its result (Xiong et al., 2020).
        bias: False for Linears, attention and norms without biases.
        dtype: of the parameters.
        rng: generator or seed for weights and dropout; None draws a fresh seed.

    ``forward(x, *, mask=None)``: the mask is that of :class:`MultiheadAttention`; booleans are True where a position
    can see another, the opposite of PyTorch's.

    Raises:
        ShapeError: x has a different number of features, or the mask does not broadcast.
        ValueError: an argument is out of range, or nhead does not divide d_model.

    >>> import numpy as np, nn
    >>> nn.TransformerEncoderLayer(8, 2, 16, rng=0)(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        *,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        op = "TransformerEncoderLayer"
        d_model, nhead = count(op, "d_model", d_model), count(op, "nhead", nhead)
        if d_model % nhead:
            raise ValueError(f"{op}: nhead={nhead} does not divide d_model={d_model}")
        inner = count(op, "dim_feedforward", dim_feedforward)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{op}: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.norm_first = bool(norm_first)
        rng = np.random.default_rng(rng)
        learned: dict[str, Any] = {"dtype": dtype} if activation == "prelu" else {}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, dtype=dtype, rng=rng)
        self.linear1 = Linear(d_model, inner, bias, dtype=dtype, rng=rng)
        self.activation = ACTIVATIONS[activation](**learned)
        self.dropout = Dropout(dropout, rng=rng)
        self.linear2 = Linear(inner, d_model, bias, init="lecun_normal", dtype=dtype, rng=rng)
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout, rng=rng)
        self.dropout2 = Dropout(dropout, rng=rng)

    def forward(self, x: tg.TensorLike, *, mask: Any = None) -> tg.Tensor:
        if tg.watch(self, "norm_first"):
            x = tg.add(x, self._attended(self.norm1(x), mask))
            return tg.add(x, self._transformed(self.norm2(x)))
        x = self.norm1(tg.add(x, self._attended(x, mask)))
        return self.norm2(tg.add(x, self._transformed(x)))

    def _attended(self, x: tg.TensorLike, mask: Any) -> tg.Tensor:
        return self.dropout1(self.self_attn(x, mask=mask))

    def _transformed(self, x: tg.TensorLike) -> tg.Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.self_attn.embed_dim}, {self.self_attn.num_heads} heads"
