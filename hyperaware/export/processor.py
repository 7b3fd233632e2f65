"""Tokenizer and image processor in transformers' files, read back and compared."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as BackendTokenizer

from hyperaware.errors import ModelError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.squash import Squash
from hyperaware.models.tokenizer import Tokenizer

__all__ = ["PROBES", "padded_backend", "require_same_tokens", "write_processor", "write_tokenizer"]

RESAMPLE = {"bilinear": 2, "bicubic": 3}
"""Pillow's numbers."""
PROBES = (
    "a rabbit in the snow",
    "Two children, 10 years old: THEY'RE flying a kite!",
    "",
    "  spaces   and\ttabs\n",
    "naïve café, 写真, 🙂",
    "<|endoftext|> a gun <|startoftext|>",
    "one word after another " * 60,
)
"""Captions that show a tokenizer's ways: case, white space, other scripts, markers as text, truncation."""


def write_tokenizer(model: DualEncoder, out: Path, *, kind: str) -> None:
    """Write tokenizer.json and tokenizer_config.json, from which transformers gives our ids.

    For CLIP also vocab.json and merges.txt, which older programs read. `split_special_tokens` keeps a marker
    such as <|endoftext|> within a caption a text like any other.
    """
    tokenizer = model.tokenizer
    tokenizer.save_pretrained(out)
    settings: dict[str, Any] = {
        "model_max_length": tokenizer.context_length,
        "padding_side": "right",
        "truncation_side": "right",
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        **_special_tokens(tokenizer),
    }
    if kind == "siglip":  # trained on texts padded to the context length, without a mask
        settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids"]}
    else:
        settings |= {"tokenizer_class": "CLIPTokenizer", "unk_token": _unknown(tokenizer)}
        _write_merges(tokenizer, out)
    _write(out / "tokenizer_config.json", settings)


def _write_merges(tokenizer: Tokenizer, out: Path) -> None:
    """vocab.json and merges.txt, as OpenAI's CLIP has them on the Hub."""
    model = json.loads(tokenizer.backend.to_str())["model"]
    if model.get("type") != "BPE":
        raise ModelError(f"CLIP's tokenizer has byte pairs (BPE), this one is {model.get('type')!r}.")
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    _write(out / "vocab.json", model["vocab"])
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8")


def _special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    backend = tokenizer.backend
    ids = {"eos_token": tokenizer.eos_id, "pad_token": tokenizer.pad_id}
    start = backend.encode("a")
    if start.special_tokens_mask[0]:
        ids["bos_token"] = start.ids[0]
    return {name: str(backend.id_to_token(number)) for name, number in ids.items()}


def _unknown(tokenizer: Tokenizer) -> str:
    model: Any = tokenizer.backend.model
    return str(model.unk_token or tokenizer.backend.id_to_token(tokenizer.eos_id))


def write_processor(model: DualEncoder, out: Path, *, kind: str) -> None:
    """Write preprocessor_config.json: what `CLIPProcessor` or `SiglipProcessor` does to pictures."""
    preprocess = model.preprocess
    side = preprocess.size
    settings: dict[str, Any] = {
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
    }
    if isinstance(preprocess, Squash):
        settings |= {"size": {"height": side, "width": side}, "resample": RESAMPLE[preprocess.filter]}
        settings |= {"do_center_crop": False}
    else:
        settings |= {"size": {"shortest_edge": side}, "resample": RESAMPLE["bicubic"]}
        settings |= {"do_center_crop": True, "crop_size": {"height": side, "width": side}}
    squashed_siglip = kind == "siglip" and isinstance(preprocess, Squash)
    settings["image_processor_type"] = "SiglipImageProcessor" if squashed_siglip else "CLIPImageProcessor"
    settings["processor_class"] = "SiglipProcessor" if kind == "siglip" else "CLIPProcessor"
    _write(out / "preprocessor_config.json", settings)


def require_same_tokens(model: DualEncoder, out: Path, *, padding: str | bool) -> None:
    """Refuses a folder whose tokenizer, as transformers reads it, gives other ids than the model's.

    Raises:
        ModelError: it does; the message has the caption.
    """
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(out)
    for texts in ([probe] for probe in PROBES):
        expected, _ = model.tokenizer(texts)
        found = theirs(texts, padding=padding, truncation=True, return_tensors="pt")["input_ids"]
        width = expected.shape[1]
        beyond = found[:, width:] != model.tokenizer.pad_id
        if found[:, :width].tolist() != expected.tolist() or beyond.any():
            raise ModelError(
                f"transformers would give {texts[0][:40]!r} the ids {found[0, :12].tolist()}, the model's "
                f"tokenizer gives {expected[0, :12].tolist()}: it cannot be exported."
            )


def padded_backend(tokenizer: Tokenizer) -> BackendTokenizer:
    """A copy of the tokenizer that cuts texts at the context and pads them to the longest by itself."""
    backend = BackendTokenizer.from_str(tokenizer.backend.to_str())
    backend.enable_truncation(tokenizer.context_length)
    backend.enable_padding(
        pad_id=tokenizer.pad_id,
        pad_token=str(backend.id_to_token(tokenizer.pad_id)),
    )
    return backend


def _write(path: Path, settings: dict[str, Any]) -> None:
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
