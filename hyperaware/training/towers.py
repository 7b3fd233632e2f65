"""Freshly drawn CLIP towers of any size: what a recipe starts from when it starts from nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import CLIPConfig, CLIPModel

from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.tokenizer import train_tokenizer

__all__ = ["Towers"]


@dataclass(frozen=True)
class Towers:
    """The architecture of a small CLIP. The defaults are the shipped model's: about a million parameters."""

    image_size: int = 48
    """Side of the picture that the model sees, in pixels."""
    patch_size: int = 8
    """Side of a patch, in pixels."""
    vision_width: int = 128
    vision_layers: int = 3
    vision_heads: int = 4
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    projection: int = 128
    """Dimension of the shared space."""
    vocab_size: int = 800
    """Tokens that the byte-pair encoding may learn."""
    context_length: int = 40
    """Longest caption in tokens, start and end included."""

    def build(self, captions: Iterable[str], *, seed: int) -> DualEncoder:
        """A model with random weights and a tokenizer learned from `captions`."""
        tokenizer = train_tokenizer(captions, vocab_size=self.vocab_size, context_length=self.context_length)
        text = {
            "vocab_size": tokenizer.vocab_size,
            "hidden_size": self.text_width,
            "intermediate_size": 4 * self.text_width,
            "num_hidden_layers": self.text_layers,
            "num_attention_heads": self.text_heads,
            "max_position_embeddings": self.context_length,
            "pad_token_id": tokenizer.pad_id,
            "eos_token_id": tokenizer.eos_id,
            "bos_token_id": 2,
        }
        vision = {
            "hidden_size": self.vision_width,
            "intermediate_size": 4 * self.vision_width,
            "num_hidden_layers": self.vision_layers,
            "num_attention_heads": self.vision_heads,
            "image_size": self.image_size,
            "patch_size": self.patch_size,
        }
        torch.manual_seed(seed)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=self.projection)
        return DualEncoder(
            CLIPModel(config), tokenizer=tokenizer, preprocess=Preprocess(size=self.image_size)
        )
