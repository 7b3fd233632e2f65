"""Two CLIP towers whose features are lifted into one space."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from hyperaware.geometry.space import Euclid, Lorentz, Space, Sphere
from hyperaware.media.images import decode
from hyperaware.models import pooled
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.tokenizer import Tokenizer

__all__ = ["TOWERS", "DualEncoder", "Picture"]

Picture = str | Path | bytes | Image.Image

TOWERS = {"text": ("text_model.", "text_projection."), "image": ("vision_model.", "visual_projection.")}
"""How the names of a tower's modules begin, by modality."""

LOG_CURV_RANGE = (math.log(0.1), math.log(10.0))
LOG_LOGIT_SCALE_RANGE = (math.log(1 / 0.07), math.log(100.0))


class DualEncoder(nn.Module):
    """CLIP, changed in one thing: its features are not normalised but lifted to points of `space`.

    * On the `Sphere` the lift is the normalisation, and this is CLIP.
    * In `Lorentz` space a feature f becomes exp_0(alpha f), alpha a learned scale per modality (HySAC,
      arXiv 2503.12127, section 3; MERU, arXiv 2304.09172).
    * In `Euclid` space it becomes alpha f.

    The lift runs in float32 whatever the towers run in. Parameters beside the towers: `log_logit_scale`; with
    a root `log_alpha_image` and `log_alpha_text`; in Lorentz space `log_curv`. All are logarithms.
    """

    def __init__(
        self,
        clip: CLIPModel,
        *,
        tokenizer: Tokenizer,
        preprocess: Preprocess,
        logit_scale: float = 1 / 0.07,
    ) -> None:
        super().__init__()
        self.clip: Any = clip  # a CLIPModel, or the same with adapters
        if hasattr(clip, "logit_scale"):
            del clip.logit_scale  # ours stands below; two of them would be one too many
        if hasattr(clip, "logit_bias"):  # SigLIP's, which no loss here has: a softmax does not see it
            clip.logit_bias.requires_grad_(False)
        self.tokenizer = tokenizer
        self.preprocess = preprocess
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))
        self.log_curv: nn.Parameter | None = None
        self.log_alpha_image: nn.Parameter | None = None
        self.log_alpha_text: nn.Parameter | None = None
        self.name = "unnamed"
        self.folder: Path | None = None
        self.provenance: dict[str, Any] = {}

    # -- the space ---------------------------------------------------------------------------------------

    @property
    def config(self) -> CLIPConfig:
        return self.clip.config

    @property
    def dim(self) -> int:
        """The number of space coordinates of a point."""
        return int(self.clip.config.projection_dim)

    @property
    def device(self) -> torch.device:
        return self.log_logit_scale.device

    @property
    def logit_scale(self) -> Tensor:
        """The factor on similarities in contrastive losses: one over the temperature."""
        return self.log_logit_scale.exp()

    @property
    def space(self) -> Space:
        """The space of the points; in Lorentz space its curvature carries the gradient of `log_curv`."""
        if self.log_curv is not None:
            return Lorentz(self.log_curv.exp())
        return Sphere() if self.log_alpha_text is None else Euclid()

    def use_lorentz(self, *, curv: float = 1.0, alpha_image: float, alpha_text: float) -> None:
        """Replace the space by Lorentz space with these starting values."""
        self.log_curv = nn.Parameter(torch.tensor(math.log(curv), device=self.device))
        self._use_alphas(alpha_image, alpha_text)

    def use_euclid(self, *, alpha_image: float, alpha_text: float) -> None:
        """Replace the space by flat space with these starting values."""
        self.log_curv = None
        self._use_alphas(alpha_image, alpha_text)

    def _use_alphas(self, alpha_image: float, alpha_text: float) -> None:
        self.log_alpha_image = nn.Parameter(torch.tensor(math.log(alpha_image), device=self.device))
        self.log_alpha_text = nn.Parameter(torch.tensor(math.log(alpha_text), device=self.device))

    def scalars(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The named scalars beside the towers."""
        yield from self.named_parameters(recurse=False)

    def tower(self, modality: str) -> Iterator[nn.Parameter]:
        """The parameters of the tower of "text" or "image", with its projection and its adapters."""
        for name, parameter in self.clip.named_parameters():
            if name.removeprefix("base_model.model.").startswith(TOWERS[modality]):
                yield parameter

    @torch.no_grad()
    def constrain(self) -> None:
        """Clamp the scalars to their ranges; call after each optimiser step.

        curv in [0.1, 10], alpha <= 1, logit scale in [1/0.07, 100], as in HySAC; a fixed logit scale stays.
        """
        if self.log_logit_scale.requires_grad:
            self.log_logit_scale.clamp_(*LOG_LOGIT_SCALE_RANGE)
        if self.log_curv is not None:
            self.log_curv.clamp_(*LOG_CURV_RANGE)
        for log_alpha in (self.log_alpha_image, self.log_alpha_text):
            if log_alpha is not None:
                log_alpha.clamp_(max=0.0)

    # -- from tensors, with gradients --------------------------------------------------------------------

    def features_of_tokens(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Projected CLIP features of captions before the lift, (n, dim). Padding at the end needs no mask."""
        if pooled.is_pooled(self.clip):
            return pooled.text_features(self.clip, ids)
        return self.clip.get_text_features(input_ids=ids, attention_mask=attention_mask).pooler_output

    def features_of_pixels(self, pixels: Tensor) -> Tensor:
        """Projected CLIP features of pictures before the lift, (n, dim)."""
        if pooled.is_pooled(self.clip):
            return pooled.image_features(self.clip, pixels)
        return self.clip.get_image_features(pixel_values=pixels).pooler_output

    def embed_tokens(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Points of captions, (n, dim) float32."""
        return self._lift(self.features_of_tokens(ids, attention_mask), self.log_alpha_text)

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Points of pictures, (n, dim) float32."""
        return self._lift(self.features_of_pixels(pixels), self.log_alpha_image)

    def _lift(self, features: Tensor, log_alpha: Tensor | None) -> Tensor:
        features = features.float()
        return self.space.lift(features if log_alpha is None else log_alpha.exp() * features)

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor | None,
        pixels: Tensor,
        *,
        known: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> tuple[Tensor, Tensor]:
        """Points of captions and of pictures: one pass through each tower.

        `known`: features by modality ("text", "image") that are at hand. They are only lifted.
        """
        texts = known["text"] if "text" in known else self.features_of_tokens(ids, attention_mask)
        images = known["image"] if "image" in known else self.features_of_pixels(pixels)
        return self._lift(texts, self.log_alpha_text), self._lift(images, self.log_alpha_image)

    # -- from texts and pictures, for use ----------------------------------------------------------------

    def encode_text(self, texts: str | Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Points of texts on the CPU, (n, dim) float32. One text gives n = 1."""
        texts = [texts] if isinstance(texts, str) else list(texts)

        def embed(part: Sequence[str]) -> Tensor:
            ids, mask = self.tokenizer(part)
            return self.embed_tokens(ids.to(self.device), mask.to(self.device))

        return self._encode(texts, embed, batch_size)

    def encode_fitting(self, texts: Sequence[str], *, batch_size: int = 256) -> tuple[Tensor, list[bool]]:
        """Points of the texts that fit the context, (k, dim) float32 on the CPU, and of each whether it does.

        For texts that must not be cut: `models.windows` has pieces of the others.
        """
        rows = self.tokenizer.rows(texts)
        fit = [len(row) <= self.tokenizer.context_length for row in rows]

        def embed(part: Sequence[list[int]]) -> Tensor:
            ids, mask = self.tokenizer.padded(part)
            return self.embed_tokens(ids.to(self.device), mask.to(self.device))

        return self._encode(
            [row for row, fits in zip(rows, fit, strict=True) if fits], embed, batch_size
        ), fit

    def encode_image(self, images: Picture | Sequence[Picture], *, batch_size: int = 64) -> Tensor:
        """Points of pictures on the CPU, (n, dim) float32. One picture gives n = 1.

        Raises:
            MediaError: a picture cannot be decoded; the message names it.
        """
        if isinstance(images, str | Path | bytes | Image.Image):
            images = [images]

        def embed(part: Sequence[Picture]) -> Tensor:
            pixels = self.preprocess([decode(picture) for picture in part])
            return self.embed_pixels(pixels.to(self.device))

        return self._encode(list(images), embed, batch_size)

    @torch.no_grad()
    def _encode(self, inputs: list, embed: Callable[[Sequence], Tensor], batch_size: int) -> Tensor:
        if not inputs:
            return torch.empty(0, self.dim)
        was_training = self.training
        self.eval()
        try:
            parts = [embed(inputs[i : i + batch_size]).cpu() for i in range(0, len(inputs), batch_size)]
        finally:
            self.train(was_training)
        return torch.cat(parts)

    # -- identity ----------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name these weights, this space, tokenizer and preprocessing.

        Two models with the same fingerprint give the same points, up to rounding. Computed at each call.
        """
        digest = hashlib.sha256(json.dumps(self._weightless_parts(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _weightless_parts(self) -> dict[str, Any]:
        """What decides on the points and cannot be seen in names and shapes of the weights."""
        towers = {
            f"{part}.{name}": getattr(getattr(self.config, f"{part}_config"), name)
            for part in ("text", "vision")
            for name in ("num_attention_heads", "hidden_act", "layer_norm_eps")
        }
        tokenizer = {
            "eos_id": self.tokenizer.eos_id,
            "context_length": self.tokenizer.context_length,
            "backend": self.tokenizer.backend.to_str(),
        }
        return towers | tokenizer | {"preprocess": self.preprocess.config()}
