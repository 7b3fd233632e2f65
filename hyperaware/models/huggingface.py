"""Folders of transformers: CLIP (also Safe-CLIP, SafeR-CLIP), SigLIP, SigLIP 2 at a fixed resolution."""

import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from hyperaware.errors import ConfigError, ModelError
from hyperaware.media.crop import FILTERS
from hyperaware.models.architectures import bare, fill
from hyperaware.models.checkpoint_file import logarithm, read_folder_weights, require_fit
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from hyperaware.models.squash import HALF, Squash
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.models.tokenizer_files import read_tokenizer

__all__ = [
    "LEGACY_END",
    "assembled",
    "is_transformers_folder",
    "read_config",
    "read_preprocess",
    "read_transformers",
]

LEGACY_END = 2
"""CLIP configs before transformers 4.31 have this `eos_token_id`; such models pool at the highest id."""
RESAMPLE = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers in preprocessor_config.json."""
PROCESSOR, IMAGE_PROCESSOR = "processor_config.json", "preprocessor_config.json"
"""transformers 5 writes the steps for pictures into the first, under `image_processor`, and prefers that."""


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
    for tower in ("text_config", "vision_config"):
        if not isinstance(config.get(tower, {}), dict):
            raise ModelError(f"{path} is damaged: its {tower} is {config[tower]!r}. Fetch the folder again.")
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
    scale = math.exp(logarithm(weights, "logit_scale", what)) if "logit_scale" in weights else 1 / 0.07
    weights.pop("logit_scale", None)
    model = DualEncoder(
        towers,
        tokenizer=read,
        preprocess=preprocess,
        logit_scale=scale,
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
    """What processor_config.json or preprocessor_config.json says; without one, the kind's own steps.

    Raises:
        ModelError: damaged, or steps that are not done here: another filter, or a crop of another size than
            the resize.
    """
    path, said = _said_of_pictures(folder)
    try:
        return _preprocess(said, kind, int(config.get("vision_config", {}).get("image_size", 224)))
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} or the image_size of config.json is damaged ({error}). Fetch the folder again."
        ) from error


def _said_of_pictures(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that decides, and what it says; nothing where there is none."""
    for path in (folder / PROCESSOR, folder / IMAGE_PROCESSOR):
        if not path.is_file():
            continue
        try:
            said = dict(json.loads(path.read_text(encoding="utf-8")))
            if path.name == IMAGE_PROCESSOR:
                return path, said
            if "image_processor" in said:
                return path, dict(said["image_processor"])
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path} is damaged ({error}). Fetch the folder again.") from error
    return folder / IMAGE_PROCESSOR, {}


def _preprocess(said: dict[str, Any], kind: str, size: int) -> Preprocess:
    """Raises ConfigError for what is not done here, and TypeError and the like for what makes no sense."""
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
        raise ConfigError(f"it asks for {wrong or 'another filter'}, which this version does not do.")
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
