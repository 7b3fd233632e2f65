"""The tokenizer of a published model: from tokenizer.json, vocab.json and merges.txt, or OpenAI's file.

Which token ends a text is not taken from a config, where it is wrong in old ones (`eos_token_id` is 2 in
OpenAI's), but from what the tokenizer itself appends.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as BackendTokenizer
from tokenizers import normalizers

from hyperaware.errors import ModelError
from hyperaware.models.tokenizer import Tokenizer

__all__ = ["OPENAI_FILE", "has_tokenizer", "read_tokenizer"]

OPENAI_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""The merges that OpenAI's CLIP, open_clip and MERU keep beside their code."""
OPENAI_MERGES = slice(1, 49152 - 256 - 2 + 1)


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has any file of a tokenizer."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "spiece.model"))


def read_tokenizer(source: Path, *, context_length: int, lowercase: bool = False) -> Tokenizer:
    """The tokenizer of a folder, or of a file of OpenAI's merges.

    Args:
        lowercase: put captions in lower case first. SigLIP's were in training, but the tokenizer.json of
            SigLIP 2 leaves that to the caller (arXiv 2502.14786, and the discussions of its model card).

    Raises:
        ModelError: no tokenizer that can be read, or one that does not end a text by a token of its own.
    """
    if source.is_file():
        backend, settings = _from_openai(source), {}
    else:
        backend, settings = _from_folder(source), _settings(source)
    if settings.get("padding_side") == "left":
        raise ModelError(f"the tokenizer of {source} pads at the left, which this version does not do.")
    if lowercase:
        parts = [normalizers.Lowercase(), *([backend.normalizer] if backend.normalizer else [])]
        backend.normalizer = normalizers.Sequence(parts)
    encoding = backend.encode("a")
    if not encoding.ids or not encoding.special_tokens_mask[-1]:
        raise ModelError(f"the tokenizer of {source} ends a text by no token of its own: it is not CLIP's.")
    end = encoding.ids[-1]
    pad = backend.token_to_id(_content(settings.get("pad_token"))) if settings.get("pad_token") else None
    return Tokenizer(backend, context_length=context_length, eos_id=end, pad_id=end if pad is None else pad)


def _from_folder(folder: Path) -> BackendTokenizer:
    whole, vocab, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if whole.is_file():
            return BackendTokenizer.from_file(str(whole))
        if vocab.is_file() and merges.is_file():
            lines = merges.read_text(encoding="utf-8").splitlines()
            pairs = [line for line in lines if line and not line.startswith("#version")]
            return _clip(json.loads(vocab.read_text(encoding="utf-8")), pairs)
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"the tokenizer of {folder} is damaged ({error}). Fetch it again.") from error
    if (folder / "spiece.model").is_file():
        raise ModelError(
            f"{folder} has its tokenizer as spiece.model only. Make a tokenizer.json of it once: "
            "pip install sentencepiece protobuf, then AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(FOLDER) of transformers; or take a newer revision, which has one."
        )
    raise ModelError(
        f"{folder} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt. "
        "Name a folder that has one (the base CLIP's, say) with --tokenizer."
    )


def _from_openai(path: Path) -> BackendTokenizer:
    try:
        with gzip.open(path) as file:
            merges = file.read().decode("utf-8").split("\n")[OPENAI_MERGES]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not {OPENAI_FILE} ({error}). Or give a tokenizer's folder.") from error
    merges = [merge for merge in merges if merge]
    characters = _byte_characters()
    symbols = characters + [character + "</w>" for character in characters]
    symbols += [merge.replace(" ", "") for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    return _clip({symbol: index for index, symbol in enumerate(symbols)}, merges)


def _byte_characters() -> list[str]:
    """A printable character for each byte, in OpenAI's order: those that have one, then the others."""
    ranges = (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
    printable = [byte for first, last in ranges for byte in range(ord(first), ord(last) + 1)]
    others = len(range(256)) - len(printable)
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(others)]


def _clip(vocab: dict[str, int], merges: list[str]) -> BackendTokenizer:
    from transformers import CLIPTokenizer

    pairs: Any = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab=vocab, merges=pairs).backend_tokenizer


def _settings(folder: Path) -> dict[str, Any]:
    """What the folder says about its special tokens and case."""
    found: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            try:
                found |= json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, TypeError) as error:
                raise ModelError(f"{path} is damaged ({error}). Fetch the folder again.") from error
    return found


def _content(token: str | dict[str, Any] | None) -> str:
    return token["content"] if isinstance(token, dict) else str(token)
