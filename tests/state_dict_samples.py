"""State dicts as open_clip and MERU write them, and their forward passes written down plainly.

They follow the published code and know nothing of our converters.
"""

from typing import Any

import torch
from published_samples import CONTEXT, VOCABULARY
from torch import Tensor, nn
from transformers import CLIPModel

# -- open_clip ---------------------------------------------------------------------------------------------


def open_clip_state(model: CLIPModel) -> dict[str, Tensor]:
    """The state dict that open_clip's `CLIP` would have with these weights."""
    ours = model.state_dict()
    state = {
        "positional_embedding": ours["text_model.embeddings.position_embedding.weight"],
        "text_projection": ours["text_projection.weight"].T.contiguous(),
        "logit_scale": ours["logit_scale"],
        "token_embedding.weight": ours["text_model.embeddings.token_embedding.weight"],
        "visual.class_embedding": ours["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": ours["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": ours["visual_projection.weight"].T.contiguous(),
        "visual.conv1.weight": ours["vision_model.embeddings.patch_embedding.weight"],
    }
    for kind in ("weight", "bias"):
        state[f"visual.ln_pre.{kind}"] = ours[f"vision_model.pre_layrnorm.{kind}"]
        state[f"visual.ln_post.{kind}"] = ours[f"vision_model.post_layernorm.{kind}"]
        state[f"ln_final.{kind}"] = ours[f"text_model.final_layer_norm.{kind}"]
        for tower, prefix in (("vision", "visual.transformer"), ("text", "transformer")):
            for layer in range(getattr(model.config, f"{tower}_config").num_hidden_layers):
                source, target = f"{tower}_model.encoder.layers.{layer}", f"{prefix}.resblocks.{layer}"
                state[f"{target}.attn.in_proj_{kind}"] = torch.cat(
                    [ours[f"{source}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                )
                state[f"{target}.attn.out_proj.{kind}"] = ours[f"{source}.self_attn.out_proj.{kind}"]
                state[f"{target}.ln_1.{kind}"] = ours[f"{source}.layer_norm1.{kind}"]
                state[f"{target}.ln_2.{kind}"] = ours[f"{source}.layer_norm2.{kind}"]
                state[f"{target}.mlp.c_fc.{kind}"] = ours[f"{source}.mlp.fc1.{kind}"]
                state[f"{target}.mlp.c_proj.{kind}"] = ours[f"{source}.mlp.fc2.{kind}"]
    return state


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def block(
    state: dict[str, Tensor], name: str, x: Tensor, *, heads: int, mask: Tensor | None, gelu: Any
) -> Tensor:
    """A residual block of open_clip, OpenAI and MERU, on (n, length, width)."""
    width = x.shape[-1]

    def norm(which: str, of: Tensor) -> Tensor:
        return nn.functional.layer_norm(
            of, (width,), state[f"{name}.{which}.weight"], state[f"{name}.{which}.bias"]
        )

    attention = nn.MultiheadAttention(width, heads, batch_first=True)
    parts = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    attention.load_state_dict({part: state[f"{name}.attn.{part}"] for part in parts})
    y = norm("ln_1", x)
    x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
    hidden = nn.functional.linear(
        norm("ln_2", x), state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"]
    )
    return x + nn.functional.linear(
        gelu(hidden), state[f"{name}.mlp.c_proj.weight"], state[f"{name}.mlp.c_proj.bias"]
    )


def causal(length: int) -> Tensor:
    return torch.full((length, length), float("-inf")).triu(1)


@torch.no_grad()
def open_clip_features(
    state: dict[str, Tensor], ids: Tensor, pixels: Tensor, *, heads: tuple[int, int], gelu: Any
) -> tuple[Tensor, Tensor]:
    """Text and image features as open_clip's `encode_text` and `encode_image` give them, not normalised."""
    x = state["token_embedding.weight"][ids] + state["positional_embedding"][: ids.shape[1]]
    for layer in range(2):
        name = f"transformer.resblocks.{layer}"
        x = block(state, name, x, heads=heads[0], mask=causal(ids.shape[1]), gelu=gelu)
    x = nn.functional.layer_norm(x, x.shape[-1:], state["ln_final.weight"], state["ln_final.bias"])
    text = x[torch.arange(len(x)), ids.argmax(dim=-1)] @ state["text_projection"]

    weight = state["visual.conv1.weight"]
    x = nn.functional.conv2d(pixels, weight, stride=weight.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = x + state["visual.positional_embedding"]
    x = nn.functional.layer_norm(x, x.shape[-1:], state["visual.ln_pre.weight"], state["visual.ln_pre.bias"])
    for layer in range(2):
        x = block(state, f"visual.transformer.resblocks.{layer}", x, heads=heads[1], mask=None, gelu=gelu)
    x = nn.functional.layer_norm(
        x[:, 0], x.shape[-1:], state["visual.ln_post.weight"], state["visual.ln_post.bias"]
    )
    return text, x @ state["visual.proj"]


# -- MERU --------------------------------------------------------------------------------------------------


def meru_state(*, seed: int = 0, hyperbolic: bool = True) -> dict[str, Tensor]:
    """The state dict of MERU's class with small towers: vision width 48 (3 heads), text width 128 (2)."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, scale: float | None = None) -> Tensor:
        return torch.randn(*shape, generator=generator) * (shape[-1] ** -0.5 if scale is None else scale)

    state = {
        "logit_scale": torch.tensor(2.5),
        "pixel_mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        "pixel_std": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
        "visual.cls_token": drawn(1, 1, 48),
        "visual.pos_embed": drawn(1, 5, 48),
        "visual.patch_embed.proj.weight": drawn(48, 3, 8, 8),
        "visual.patch_embed.proj.bias": drawn(48, scale=0.5),
        "visual_proj.weight": drawn(16, 48),
        "textual_proj.weight": drawn(16, 128),
        "textual.token_embed.weight": drawn(VOCABULARY, 128),
        "textual.posit_embed": drawn(CONTEXT, 128),
        "textual.attn_mask": torch.ones(CONTEXT, CONTEXT).triu(1).bool(),
    }
    if hyperbolic:
        state |= {
            name: torch.tensor(x)
            for name, x in (("curv", -1.2), ("visual_alpha", -2.0), ("textual_alpha", -2.5))
        }
    norms = ["visual.norm", "textual.ln_final"]
    linear = []
    for layer in range(2):
        vision, text = f"visual.blocks.{layer}", f"textual.resblocks.{layer}"
        norms += [f"{vision}.norm1", f"{vision}.norm2", f"{text}.ln_1", f"{text}.ln_2"]
        linear += [(f"{vision}.attn.qkv", 144, 48), (f"{vision}.attn.proj", 48, 48)]
        linear += [(f"{vision}.mlp.fc1", 192, 48), (f"{vision}.mlp.fc2", 48, 192)]
        linear += [(f"{text}.attn.out_proj", 128, 128)]
        linear += [(f"{text}.mlp.c_fc", 512, 128), (f"{text}.mlp.c_proj", 128, 512)]
        state[f"{text}.attn.in_proj_weight"] = drawn(384, 128)
        state[f"{text}.attn.in_proj_bias"] = drawn(384, scale=0.1)
    for name, out, into in linear:
        state |= {f"{name}.weight": drawn(out, into), f"{name}.bias": drawn(out, scale=0.1)}
    for name in norms:
        width = 48 if name.startswith("visual") else 128
        state |= {f"{name}.weight": 1 + drawn(width, scale=0.1), f"{name}.bias": drawn(width, scale=0.1)}
    return state


@torch.no_grad()
def meru_features(state: dict[str, Tensor], ids: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Text and image features of MERU before the lift; `images` in [0, 1], ids padded with zeros."""
    gelu = nn.functional.gelu
    x = state["textual.token_embed.weight"][ids] + state["textual.posit_embed"][: ids.shape[1]]
    for layer in range(2):
        x = block(state, f"textual.resblocks.{layer}", x, heads=2, mask=causal(ids.shape[1]), gelu=gelu)
    x = nn.functional.layer_norm(x, (128,), state["textual.ln_final.weight"], state["textual.ln_final.bias"])
    text = x[torch.arange(len(x)), ids.argmax(dim=-1)] @ state["textual_proj.weight"].T

    def linear(name: str, of: Tensor) -> Tensor:
        return nn.functional.linear(of, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, of: Tensor) -> Tensor:
        return nn.functional.layer_norm(of, (48,), state[f"{name}.weight"], state[f"{name}.bias"])

    pixels = (images - state["pixel_mean"]) / state["pixel_std"]
    name = "visual.patch_embed.proj"
    x = nn.functional.conv2d(pixels, state[f"{name}.weight"], state[f"{name}.bias"], stride=8)
    x = torch.cat([state["visual.cls_token"].expand(len(x), 1, 48), x.flatten(2).transpose(1, 2)], dim=1)
    x = x + state["visual.pos_embed"]
    for layer in range(2):
        name = f"visual.blocks.{layer}"
        qkv = linear(f"{name}.attn.qkv", norm(f"{name}.norm1", x))
        q, k, v = (part.unflatten(-1, (3, 16)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(f"{name}.attn.proj", mixed)
        x = x + linear(f"{name}.mlp.fc2", gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x))))
    return text, norm("visual.norm", x)[:, 0] @ state["visual_proj.weight"].T
