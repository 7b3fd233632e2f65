"""The model as the server's threads see it: a `DualEncoder` that asks the model's process."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer as BackendTokenizer
from torch import Tensor

from hyperaware.geometry.space import space_from_config
from hyperaware.models.squash import preprocess_from_config
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.server.batching import Answer, Batcher, Kind

__all__ = ["RemoteEncoder"]


class RemoteEncoder:
    """Encodes by a `Batcher`. It stands where a searcher or a moderator expects a model.

    Args:
        about: what the model's process said of its model.
        seconds: how long an answer may take.
        stage: measures the wait.
    """

    def __init__(
        self,
        batcher: Batcher,
        about: dict[str, Any],
        *,
        seconds: float,
        stage: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._batcher, self._seconds, self._stage = batcher, seconds, stage
        self.name: str = about["name"]
        self.fingerprint: str = about["fingerprint"]
        self.space = space_from_config(about["space"])
        self.dim: int = about["dim"]
        self.folder = Path(about["folder"])
        told = about["tokenizer"]
        self.tokenizer = Tokenizer(**{**told, "backend": BackendTokenizer.from_str(told["backend"])})
        self.provenance: dict[str, Any] = about["provenance"]
        self.preprocess = preprocess_from_config(about["preprocess"])

    def encode_text(self, texts: str | Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Points of texts, (n, dim) float32; `WorkerDown` or `QueueFull` where there are none."""
        return self._points("text", [texts] if isinstance(texts, str) else list(texts), batch_size)

    def encode_fitting(self, texts: Sequence[str], *, batch_size: int = 256) -> tuple[Tensor, list[bool]]:
        """Points of those texts that fit the context, and of each whether it does."""
        answer = self._answer("fitting", list(texts), batch_size)
        return torch.from_numpy(answer.points), answer.fit

    def encode_image(self, images: Image.Image | Sequence[Image.Image], *, batch_size: int = 256) -> Tensor:
        """Points of decoded RGB pictures; files are for `Decoders`, never for this process."""
        images = [images] if isinstance(images, Image.Image) else list(images)
        return self._points("image", [self.preprocess.crop(image) for image in images], batch_size)

    def _points(self, kind: Kind, inputs: list[Any], batch_size: int) -> Tensor:
        return torch.from_numpy(self._answer(kind, inputs, batch_size).points)

    def _answer(self, kind: Kind, inputs: list[Any], batch_size: int) -> Answer:
        most = min(batch_size, self._batcher.limit)
        with self._stage(f"encode {'image' if kind == 'image' else 'text'}"):
            parts = [
                self._batcher.answer(kind, inputs[start : start + most], seconds=self._seconds)
                for start in range(0, len(inputs), most)
            ]
        points = [np.empty((0, self.dim), np.float32), *(part.points for part in parts)]
        return Answer(np.concatenate(points), [fits for part in parts for fits in part.fit])
