"""The towers that a model folder names: their class, built without drawing weights, and filled from a file.

clip                   CLIP as transformers builds it
clip-without-pre-norm  the same without the norm before the vision layers (MERU, HyCoCLIP)
siglip                 SigLIP, and SigLIP 2 at a fixed resolution
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, PreTrainedModel, SiglipConfig, SiglipModel

__all__ = ["ARCHITECTURES", "PART", "CLIPWithoutPreNorm", "SiglipTowers", "architecture_of", "bare", "fill"]


class CLIPWithoutPreNorm(CLIPModel):
    """CLIP whose patches go to the vision layers as they are, as in timm's vision transformers."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.vision_model.pre_layrnorm = nn.Identity()


class SiglipTowers(SiglipModel):
    """SigLIP that answers as CLIP does.

    * It reads the *last* position of a text, and was trained on texts padded to the context length, without a
      mask (arXiv 2303.15343; transformers' documentation). So a batch that is padded to its longest text is
      padded further here, and its mask is not used.
    * `config.projection_dim` says how long its features are.
    """

    def __init__(self, config: SiglipConfig) -> None:
        super().__init__(config)
        text: Any = config.text_config
        self.config.projection_dim = text.projection_size

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> Any:
        text: Any = self.config.text_config
        missing = text.max_position_embeddings - input_ids.shape[1]
        padded = nn.functional.pad(input_ids, (0, missing), value=text.pad_token_id)
        return super().get_text_features(input_ids=padded, **options)


ARCHITECTURES: dict[str, Callable[[dict[str, Any]], PreTrainedModel]] = {
    "clip": lambda config: CLIPModel(CLIPConfig(**config)),
    "clip-without-pre-norm": lambda config: CLIPWithoutPreNorm(CLIPConfig(**config)),
    "siglip": lambda config: SiglipTowers(SiglipConfig(**config)),
}
PART = {"clip": "clip", "clip-without-pre-norm": "clip", "siglip": "siglip"}
"""Under this key a model's config.json has the towers' config."""


def architecture_of(towers: nn.Module) -> str:
    """The name of the architecture of towers without adapters."""
    if isinstance(towers, SiglipTowers):
        return "siglip"
    return "clip-without-pre-norm" if isinstance(towers, CLIPWithoutPreNorm) else "clip"


def bare(architecture: str, config: dict[str, Any]) -> Any:
    """Towers of this architecture without weights: no memory is taken and no number is drawn. See `fill`.

    Raises:
        KeyError: an unknown architecture.
    """
    build = ARCHITECTURES[architecture]
    with torch.device("meta"):
        return build(config)


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model that holds `bare` towers its weights, as float32 tensors of its own.

    Raises:
        RuntimeError: names or shapes differ; torch's message lists them.
    """
    owned = {name: tensor.to(torch.float32, copy=True) for name, tensor in weights.items()}
    model.load_state_dict(owned, assign=True)
    for module in model.modules():
        positions = dict(module.named_buffers(recurse=False)).get("position_ids")
        if positions is not None and positions.is_meta:  # counted, not stored: 0, 1, 2, ...
            module.register_buffer(
                "position_ids", torch.arange(positions.shape[-1]).expand((1, -1)), persistent=False
            )
