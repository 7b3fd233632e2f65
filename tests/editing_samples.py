"""Tiny random CLIP and SigLIP models of transformers, and pairs for them."""

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from hyperaware.evaluation.examples import Batch

TEXT = {
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 30,
    "max_position_embeddings": 8,
    "bos_token_id": 28,
    "eos_token_id": 29,
    "pad_token_id": 1,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
TEXT_LAYER = "text_model.encoder.layers.{}.self_attn.out_proj.weight"
VISION_LAYER = "vision_model.encoder.layers.{}.mlp.fc2.weight"


def tiny_clip() -> CLIPModel:
    """Two blocks in each encoder, random weights, eval mode."""
    torch.manual_seed(0)
    return CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).eval()


def tiny_siglip() -> SiglipModel:
    """The same for SigLIP, whose pooling head has an `fc2` and an `out_proj` of its own."""
    torch.manual_seed(0)
    text = {**TEXT, "projection_size": 16}
    return SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).eval()


def random_pairs(count: int, *, seed: int = 0, tokens: int = 8) -> Batch:
    """Pairs of captions of 3 to 8 tokens, start and end included, and of noise; all labelled unsafe."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 28, (2 * count, tokens), generator=generator)
    lengths = torch.randint(3, tokens + 1, (2 * count,), generator=generator)
    place = torch.arange(tokens)
    mask = (place < lengths.unsqueeze(1)).long()
    ids[:, 0] = TEXT["bos_token_id"]
    ids[place == lengths.unsqueeze(1) - 1] = TEXT["eos_token_id"]
    ids[mask == 0] = TEXT["pad_token_id"]
    return Batch(
        ids=ids,
        mask=mask,
        pixels=torch.randn(2 * count, 3, 16, 16, generator=generator),
        unsafe_text_is_unsafe=torch.ones(count, dtype=torch.bool),
        unsafe_image_is_unsafe=torch.ones(count, dtype=torch.bool),
    )
