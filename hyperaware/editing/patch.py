"""A weight edit as a file: which weights of a model change, a bit each, and how to change them back exactly.

The file is a safetensors file. It holds a bitmask for each layer, the original values where they cannot be
computed back, and one metadata entry, `patch`, with the rest as JSON.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from hyperaware.errors import ConfigError, ModelError
from hyperaware.files import whole
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["FLIP", "PRUNE", "Patch", "fingerprint"]

FORMAT = 1
FLIP, PRUNE = -1.0, 0.0
"""The factors on selected weights: both are exact in every floating format, so files can be edited too."""
MASK, ORIGINAL = "mask/", "original/"


@dataclass(frozen=True)
class Patch:
    """Selected weights of one model, multiplied by `alpha` where the patch is applied."""

    masks: Mapping[str, Tensor]
    """Name of a weight in the model -> which of its entries are selected (bool, the weight's shape)."""
    alpha: float
    """`FLIP` (-1) or `PRUNE` (0)."""
    model_before: str
    """Fingerprint of the model that the patch is for."""
    model_after: str
    """Fingerprint of that model with the patch applied."""
    made_by: Mapping[str, Any]
    """The method, its settings, and the data that it saw."""
    originals: Mapping[str, Tensor] = field(default_factory=dict)
    """The selected entries before the edit, in the mask's order; none for a flip, which undoes itself."""

    @classmethod
    def of(
        cls, model: nn.Module, masks: Mapping[str, Tensor], *, alpha: float, made_by: Mapping[str, Any]
    ) -> "Patch":
        """The patch that multiplies the selected weights of `model`, which stays as it is.

        Raises:
            ConfigError: alpha is neither -1 nor 0.
            ModelError: a mask fits no weight of the model.
        """
        if alpha not in (FLIP, PRUNE):
            raise ConfigError(f"got alpha={alpha}, expected -1 (flip the sign) or 0 (prune).")
        masks = {name: mask.cpu() for name, mask in masks.items()}
        weights = _fitting(dict(model.named_parameters()), masks)
        originals = {} if alpha == FLIP else {name: weights[name][mask].cpu() for name, mask in masks.items()}
        before = fingerprint(model)
        trial = cls(masks, alpha, before, "", made_by, originals)
        trial.change(weights)
        after = fingerprint(model)
        trial.change(weights, back=True)
        return cls(masks, alpha, before, after, made_by, originals)

    @property
    def selected(self) -> dict[str, int]:
        """How many weights of each layer are selected."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    def apply(self, model: nn.Module) -> None:
        """Edit the weights of the model that this patch was made for, in place.

        Raises:
            ModelError: it is another model, or has the edit already.
        """
        self.require(model)
        self.change(dict(model.named_parameters()))

    def revert(self, model: nn.Module) -> None:
        """Give an edited model the weights that it had before, to the bit.

        Raises:
            ModelError: it is not the model that `apply` leaves behind.
        """
        self.require(model, back=True)
        self.change(dict(model.named_parameters()), back=True)

    def require(self, model: nn.Module, *, back: bool = False) -> None:
        """Refuse a model that this patch cannot be applied to, or with `back` reverted on.

        Raises:
            ModelError: its fingerprint is another one.
        """
        found, expected = fingerprint(model), self.model_after if back else self.model_before
        if found == expected:
            return
        if found == (self.model_before if back else self.model_after):
            raise ModelError(
                f"the model {found} {'does not have this edit' if back else 'has this edit already'}: "
                f"there is nothing to {'revert' if back else 'apply'}."
            )
        raise ModelError(
            f"the patch is for the model {expected}, and this is {found}. A patch fits one model only: "
            "after any training, weights must be chosen anew."
        )

    @torch.no_grad()
    def change(self, weights: Mapping[str, Tensor], *, back: bool = False) -> None:
        """Edit weights by name in place, or with `back` undo it, without asking whose they are.

        Raises:
            ModelError: a mask fits none of them.
        """
        for name, weight in _fitting(weights, self.masks).items():
            mask = self.masks[name].to(weight.device)
            if self.alpha == FLIP:
                weight[mask] = -weight[mask]
            elif back:
                weight[mask] = self.originals[name].to(weight)
            else:
                weight[mask] = 0.0

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of the file, written whole or not at all; its folder is made if need be."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {
            "format": FORMAT,
            "alpha": self.alpha,
            "model_before": self.model_before,
            "model_after": self.model_after,
            "made_by": self.made_by,
            "shapes": {name: list(mask.shape) for name, mask in self.masks.items()},
        }
        tensors = {
            MASK + name: torch.from_numpy(np.packbits(mask.numpy())) for name, mask in self.masks.items()
        }
        tensors |= {ORIGINAL + name: values.contiguous() for name, values in self.originals.items()}
        with whole(path) as partial:
            partial.write_bytes(serialised(tensors, metadata={"patch": json.dumps(head)}))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Patch":
        """The patch that `save` wrote.

        Raises:
            ModelError: no such file, or it is damaged, or no patch.
        """
        try:
            with safe_open(path, framework="pt") as file:
                head = json.loads((file.metadata() or {})["patch"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if head["format"] != FORMAT:
                raise ModelError(f"{path} is a patch of format {head['format']!r}, expected {FORMAT}.")
            shapes = {name: tuple(shape) for name, shape in head["shapes"].items()}
            return cls(
                masks={name: _unpacked(tensors[MASK + name], shape) for name, shape in shapes.items()},
                alpha=head["alpha"],
                model_before=head["model_before"],
                model_after=head["model_after"],
                made_by=head["made_by"],
                originals={name: tensors[ORIGINAL + name] for name in shapes if ORIGINAL + name in tensors},
            )
        except FileNotFoundError:
            raise ModelError(f"there is no patch {path}.") from None
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            raise ModelError(f"{path} is no patch of hyperaware, or a damaged one ({error!r}).") from error


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that name the weights of a model; of a `DualEncoder` its own fingerprint."""
    if isinstance(model, DualEncoder):
        return model.fingerprint
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _unpacked(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    count = math.prod(shape)
    if bits.dtype != torch.uint8 or bits.numel() != math.ceil(count / 8):
        raise ValueError(f"{bits.numel()} bytes of {bits.dtype} are no mask of shape {shape}")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(bool)).view(shape)


def _fitting(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the masks are for, detached."""
    for name, mask in masks.items():
        if name not in weights:
            raise ModelError(
                f"the model has no weight {name}, which the patch changes: it is for another one."
            )
        weight = weights[name]
        if weight.shape != mask.shape or not weight.is_floating_point():
            raise ModelError(
                f"{name} is {tuple(weight.shape)} of {weight.dtype}, and the patch is for floating-point "
                f"numbers of shape {tuple(mask.shape)}."
            )
    return {name: weights[name].detach() for name in masks}
