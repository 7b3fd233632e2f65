"""Features of CLIP's towers without the work that nobody reads: only one token of each item is pooled.

* A text ends at its end token. The attention is causal, so what follows cannot reach that token. The texts of
  a batch stand one after another without padding, and side by side only within the attention.
* The last layer is computed for the pooled token. The others give it their keys and values, and that is all.

The features are those of transformers' forward pass up to rounding. Its linear layers and norms are called:
adapters, hooks on these and gradient checkpointing are as they were; whole layers and towers are not called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import CLIPModel
from transformers.activations import QuickGELUActivation

__all__ = ["image_features", "is_pooled", "text_features"]

LEGACY_END = 2
"""With this end token, transformers' CLIP pools at the highest id."""


def is_pooled(towers: Any) -> bool:
    """Whether the towers are CLIP's and may be taken apart.

    Towers that are compiled are called whole; and a tracer cannot follow the lengths of texts.
    """
    bare = towers.get_base_model() if hasattr(towers, "get_base_model") else towers
    if not isinstance(bare, CLIPModel) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return bare.text_model._compiled_call_impl is None and bare.vision_model._compiled_call_impl is None


def text_features(towers: Any, ids: Tensor) -> Tensor:
    """Projected features of texts, (n, dim), from ids (n, longest) that are padded at the end in any way."""
    tower = towers.text_model
    count, length = ids.shape
    is_end = ids if tower.eos_token_id == LEGACY_END else (ids == tower.eos_token_id).int()
    present = torch.arange(length, device=ids.device) <= is_end.argmax(dim=1, keepdim=True)
    slots = present.flatten().nonzero().squeeze(1)
    layout = _Layout(count, length, pooled=present.sum(dim=1).cumsum(0) - 1, slots=slots, present=present)
    embeddings = tower.embeddings
    x = embeddings.token_embedding(ids.flatten()[slots]) + embeddings.position_embedding(slots % length)
    x = _through(tower.encoder.layers, x, layout)
    return towers.text_projection(tower.final_layer_norm(x))


def image_features(towers: Any, pixels: Tensor) -> Tensor:
    """Projected features of pictures, (n, dim)."""
    tower = towers.vision_model
    x = tower.pre_layrnorm(tower.embeddings(pixels))
    count, length, _ = x.shape
    layout = _Layout(count, length, pooled=torch.arange(count, device=x.device) * length)
    x = _through(tower.encoder.layers, x.flatten(0, 1), layout)
    return towers.visual_projection(tower.post_layernorm(x))


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of a batch stand, one row each: `count` sequences of at most `length`."""

    count: int
    length: int
    pooled: Tensor
    """The row of each sequence's pooled token, (count,)."""
    slots: Tensor | None = None
    """Each row's place among count x length, where sequences are padded and causal; none: neither."""
    present: Tensor | None = None
    """(count, length) which places are taken; none: all."""

    def side_by_side(self, x: Tensor, heads: int) -> Tensor:
        """Rows as (count, heads, length, width of a head); places that are not taken are zero."""
        if self.slots is not None:
            x = x.new_zeros(self.count * self.length, x.shape[1]).index_copy(0, self.slots, x)
        return x.view(self.count, self.length, heads, -1).transpose(1, 2)

    def one_after_another(self, x: Tensor) -> Tensor:
        """What `side_by_side` was made from."""
        rows = x.transpose(1, 2).reshape(self.count * self.length, -1)
        return rows if self.slots is None else rows.index_select(0, self.slots)


def _through(layers: nn.ModuleList, x: Tensor, layout: _Layout) -> Tensor:
    """The pooled tokens after all layers, (count, width)."""
    *inner, last = layers
    for layer in inner:
        x = _checkpointed(layer, _whole, x, layout)
    return _checkpointed(last, _pooled, x, layout)


def _checkpointed(layer: Any, work: Callable[..., Tensor], x: Tensor, layout: _Layout) -> Tensor:
    run = partial(work, layer, layout=layout)
    if layer.gradient_checkpointing and layer.training:
        return layer._gradient_checkpointing_func(run, x)
    return run(x)


def _whole(layer: Any, x: Tensor, *, layout: _Layout) -> Tensor:
    attention = layer.self_attn
    normed = layer.layer_norm1(x)
    query, key, value = (
        layout.side_by_side(projection(normed), attention.num_heads)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    mixed = _attend(attention, query, key, value, is_causal=layout.slots is not None)
    x = x + attention.out_proj(layout.one_after_another(mixed))
    return x + _mlp(layer.mlp, layer.layer_norm2(x))


def _pooled(layer: Any, x: Tensor, *, layout: _Layout) -> Tensor:
    attention = layer.self_attn
    normed = layer.layer_norm1(x)
    query = attention.q_proj(normed[layout.pooled])
    key, value = (
        layout.side_by_side(projection(normed), attention.num_heads)
        for projection in (attention.k_proj, attention.v_proj)
    )
    query = query.view(layout.count, 1, attention.num_heads, -1).transpose(1, 2)
    visible = None if layout.present is None else layout.present[:, None, None, :]
    mixed = _attend(attention, query, key, value, attn_mask=visible)
    x = x[layout.pooled] + attention.out_proj(mixed.flatten(1))
    return x + _mlp(layer.mlp, layer.layer_norm2(x))


def _attend(attention: Any, query: Tensor, key: Tensor, value: Tensor, **which: Any) -> Tensor:
    dropout = attention.dropout if attention.training else 0.0
    return scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=attention.scale, **which)


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    x = mlp.fc1(x)
    quick = isinstance(mlp.activation_fn, QuickGELUActivation)
    return mlp.fc2(_QuickGELU.apply(x) if quick else mlp.activation_fn(x))


class _QuickGELU(torch.autograd.Function):
    """x sigmoid(1.702 x), bit for bit as transformers computes it, from one kept tensor instead of three.

    It is silu(1.702 x) / 1.702, so its gradient is that of silu at 1.702 x.
    """

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return (1.702 * x).sigmoid_().mul_(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return torch.ops.aten.silu_backward(gradient, 1.702 * x)
