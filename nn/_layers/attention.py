"""Attention with several heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tensorgrad as tg

from .. import functional, init
from .._checks import count, probability
from .._module import Module
from .linear import Linear

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Means of values, weighted by how well keys match queries, in several heads (Vaswani et al., 2017, section 3.2.2).

    Each head works on its share of three projections of the inputs; a fourth projection mixes their results. The batch
    axis comes first.

    Shapes: query (N, L, embed_dim), key (N, S, kdim), value (N, S, vdim), result like query; one sample has no axis N.

    Args:
        embed_dim: features of the query and of the result.
        num_heads: number of heads, each with an equal share of the features.
        dropout: probability of dropping a weight in training, in [0, 1).
        bias: add a bias to each projection, initially zero.
        kdim: features of the key; None for embed_dim.
        vdim: features of the value; None for embed_dim.
        init: of the weights of the projections, as in :class:`Linear`.
        dtype: of the parameters.
        rng: generator or seed for weights and dropout; None draws a fresh seed.

    ``forward(query, key=None, value=None, *, mask=None)``: by default the key is the query, and the value is the key.
    The mask broadcasts to (N, L, S) and applies to all heads: booleans, True where a query can see a key, or numbers to
    add to the scores. ``np.tri(L, dtype=bool)`` lets a query see itself and what came before, and
    ``present[:, None, :]`` hides the keys that only pad a sequence. It returns a Tensor, unlike PyTorch's, which
    returns a pair with the weights.

    Raises:
        ShapeError: an input has a different number of features, or the mask does not broadcast.
        ValueError: num_heads does not divide embed_dim.

    >>> import numpy as np, nn
    >>> nn.MultiheadAttention(8, 2, rng=0)(np.ones((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        init: init.Init = "glorot_uniform",
        dtype: DTypeLike = np.float32,
        rng: init.Seed = None,
    ) -> None:
        super().__init__()
        self.embed_dim = count("MultiheadAttention", "embed_dim", embed_dim)
        self.num_heads = count("MultiheadAttention", "num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise ValueError(f"MultiheadAttention: num_heads={num_heads} does not divide embed_dim={embed_dim}")
        self.dropout = probability("MultiheadAttention", "dropout", dropout)
        self.rng = np.random.default_rng(rng)
        widths = [self.embed_dim] * 4
        for place, name, width in ((1, "kdim", kdim), (2, "vdim", vdim)):
            if width is not None:
                widths[place] = count("MultiheadAttention", name, width)
        self.query_proj, self.key_proj, self.value_proj, self.out_proj = (
            Linear(width, self.embed_dim, bias=bias, init=init, dtype=dtype, rng=self.rng) for width in widths
        )

    @property
    def kdim(self) -> int:
        """Features of the key."""
        return self.key_proj.in_features

    @property
    def vdim(self) -> int:
        """Features of the value."""
        return self.value_proj.in_features

    def forward(
        self,
        query: tg.TensorLike,
        key: tg.TensorLike | None = None,
        value: tg.TensorLike | None = None,
        *,
        mask: Any = None,
    ) -> tg.Tensor:
        key = query if key is None else key
        value = key if value is None else value
        dropout, rng, training = (tg.watch(self, name) for name in ("dropout", "rng", "training"))
        found = functional.scaled_dot_product_attention(
            self._heads(self.query_proj(query)),
            self._heads(self.key_proj(key)),
            self._heads(self.value_proj(value)),
            _for_all_heads(mask),
            dropout if training else 0.0,
            rng=rng,
        )
        side_by_side = tg.swapaxes(found, -2, -3)
        return self.out_proj(tg.reshape(side_by_side, (*side_by_side.shape[:-2], self.embed_dim)))

    def _heads(self, x: tg.Tensor) -> tg.Tensor:
        """Reshape (..., length, features) to (..., heads, length, features of a head)."""
        parts = tg.reshape(x, (*x.shape[:-1], self.num_heads, self.embed_dim // self.num_heads))
        return tg.swapaxes(parts, -2, -3)

    def extra_repr(self) -> str:
        others = "".join(f", {name}={n}" for name in ("kdim", "vdim") if (n := getattr(self, name)) != self.embed_dim)
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}{others}"

    def brief(self) -> str:
        return f"{type(self).__name__} {self.embed_dim}, {self.num_heads} heads"


def _for_all_heads(mask: Any) -> Any:
    if mask is None or np.ndim(mask) < 3:
        return mask
    return tg.expand_dims(mask, -3)
