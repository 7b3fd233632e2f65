"""Folders of transformers: CLIP (also Safe-CLIP, SafeR-CLIP), SigLIP, SigLIP 2 at a fixed resolution."""

import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.media.crop import FILTERS
from hyperaware.models.architectures import bare, fill
from hyperaware.models.checkpoint_file import read_folder_weights, require_fit
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from hyperaware.models.squash import HALF, Squash
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.models.tokenizer_files import read_tokenizer

__all__ = ["assembled", "is_transformers_folder", "read_config", "read_preprocess", "read_transformers"]

LEGACY_END = 2
"""CLIP configs before transformers 4.31 have this `eos_token_id`; such models pool at the highest id."""
RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers in preprocessor_config.json."""


def is_transformers_folder(folder: Path) -> bool:
    """Whether the folder's config.json is of transformers, and not of hyperaware."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "format" not in config


def read_transformers(folder: Path, *, tokenizer: Path | None = None) -> DualEncoder:
    """The model of a transformers folder, on the sphere, in eval mode, float32. Nothing is fetched.

    Args:
        tokenizer: where the tokenizer is read from, if not from the folder.

    Raises:
        ModelError: another kind of model, or a folder that is incomplete or damaged.
    """
    config = read_config(folder)
    kind = config.pop("model_type")
    weights = read_folder_weights(folder)
    for name in [name for name in weights if name.endswith("position_ids")]:
        del weights[name]  # counted, not learned; old files have them
    model = assembled(
        kind,
        config,
        weights,
        tokenizer=folder if tokenizer is None else tokenizer,
        preprocess=read_preprocess(folder, kind, config),
        what=str(folder),
    )
    model.folder = folder
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a transformers folder of a kind that can be read.

    Raises:
        ModelError: it is missing or damaged, or of another kind of model.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config["model_type"]
    except FileNotFoundError:
        raise ModelError(f"{folder} has no config.json: it is no model folder of transformers.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} is damaged or of no model ({error!r}). Fetch the folder again.") from error
    if kind == "siglip2":
        raise ModelError(
            f"{folder} is a SigLIP 2 of flexible resolution (NaFlex), which reads pictures as sequences of "
            "patches. Take one of fixed resolution, such as google/siglip2-base-patch16-224."
        )
    if kind not in ("clip", "siglip"):
        raise ModelError(f"{folder} is a model of kind {kind!r}; expected clip or siglip, both towers.")
    return config


def assembled(
    architecture: str,
    config: dict[str, Any],
    weights: dict[str, Tensor],
    *,
    tokenizer: Path,
    preprocess: Preprocess,
    what: str,
) -> DualEncoder:
    """A model on the sphere from the parts of a published one, in eval mode, float32.

    `config` is that of transformers' class; its ids of special tokens are replaced by the tokenizer's. Of
    `weights`, `logit_scale` may be missing.

    Raises:
        ModelError: the parts do not fit each other.
    """
    try:
        towers = bare(architecture, config)
    except Exception as error:  # transformers' configs raise what they like
        raise ModelError(f"the config of {what} cannot be used ({error!r}).") from error
    text: Any = towers.config.text_config
    read = read_tokenizer(
        tokenizer, context_length=text.max_position_embeddings, lowercase=architecture == "siglip"
    )
    _take_special_tokens(towers, read, architecture, what)
    weights = dict(weights)
    scale = weights.pop("logit_scale", None)
    model = DualEncoder(
        towers,
        tokenizer=read,
        preprocess=preprocess,
        logit_scale=1 / 0.07 if scale is None else math.exp(float(scale.squeeze())),
    )
    require_fit(weights, model.clip, what)
    scalars = dict(model.scalars())
    fill(model, {f"clip.{name}": tensor for name, tensor in weights.items()} | scalars)
    return model.eval()


def _take_special_tokens(towers: Any, tokenizer: Tokenizer, architecture: str, what: str) -> None:
    """Write the tokenizer's end and padding into the config, from which saved models take them."""
    text = towers.config.text_config
    ids = tokenizer.backend.get_vocab().values()
    if max(ids) >= text.vocab_size:
        raise ModelError(
            f"the tokenizer of {what} has ids up to {max(ids)}, but the model knows {text.vocab_size} "
            "tokens. Name the tokenizer that it was trained with."
        )
    if architecture != "siglip":
        if text.eos_token_id == LEGACY_END and tokenizer.eos_id != max(ids):
            raise ModelError(f"{what} pools texts at the highest id, which is not the tokenizer's end token.")
        if tokenizer.eos_id == LEGACY_END:
            raise ModelError(f"the end token of {what} is 2, which transformers' CLIP misreads.")
        towers.text_model.eos_token_id = tokenizer.eos_id
    start = tokenizer.backend.encode("a").ids[0]
    text.eos_token_id, text.pad_token_id, text.bos_token_id = tokenizer.eos_id, tokenizer.pad_id, start


def read_preprocess(folder: Path, kind: str, config: dict[str, Any]) -> Preprocess:
    """What preprocessor_config.json says; without one, what the kind's models are published with.

    Raises:
        ModelError: steps that are not done here: another filter, or a crop of another size than the resize.
    """
    size = int(config.get("vision_config", {}).get("image_size", 224))
    path = folder / "preprocessor_config.json"
    said: dict[str, Any] = {}
    if path.is_file():
        try:
            said = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path} is damaged ({error}). Fetch the folder again.") from error
    mean, std = (
        tuple(said.get(key) or default)
        for key, default in (
            ("image_mean", HALF if kind == "siglip" else CLIP_MEAN),
            ("image_std", HALF if kind == "siglip" else CLIP_STD),
        )
    )
    filter_ = RESAMPLE.get(said.get("resample", 3))
    squashes = _squashes(said, kind)
    wrong = _differs(said, size)
    if wrong or filter_ not in FILTERS or (not squashes and filter_ != "bicubic"):
        raise ModelError(f"{path} asks for {wrong or 'another filter'}, which this version does not do.")
    if squashes:
        return Squash(size=size, mean=mean, std=std, filter=filter_)
    return Preprocess(size=size, mean=mean, std=std)


def _squashes(said: dict[str, Any], kind: str) -> bool:
    size = said.get("size")
    if isinstance(size, dict):
        return "shortest_edge" not in size
    return kind == "siglip" if size is None else not said.get("do_center_crop", True)


def _differs(said: dict[str, Any], size: int) -> str:
    """What the file asks for that a resize (and crop) to `size` is not; empty where it is that."""
    for key in ("size", "crop_size"):
        given = said.get(key)
        for side in given.values() if isinstance(given, dict) else [given]:
            if side is not None and side != size:
                return f"{key} {given}, where the model sees {size} pixels"
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if said.get(key, True) is False:
            return f"{key} false"
    if said.get("rescale_factor") is not None and abs(said["rescale_factor"] * 255 - 1) > 1e-6:
        return f"rescale_factor {said['rescale_factor']}"
    return ""
