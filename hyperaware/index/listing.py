"""What a folder has for an index: its pictures, their captions, and what it has beside them."""

import json
import os
import posixpath
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import IMAGE_SUFFIXES, Limits, read_bytes

__all__ = ["Listing", "list_folder", "sidecar_caption"]

CAPTIONS = "captions.jsonl"
CONTACT_SHEET = "contact-sheet.png"
"""An overview that `world export` lays beside its captions.jsonl; no item of its own."""

SIDECAR_LIMITS = Limits(max_bytes=2**16)


@dataclass
class Listing:
    """The contents of a folder; paths are relative to it, with "/"."""

    pictures: list[str] = field(default_factory=list)
    """Sorted."""
    captions: dict[str, str] = field(default_factory=dict)
    """By picture, from every captions.jsonl."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Number of other files by suffix; captions and their pictures' .txt files are not counted."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Folders that could not be read, and why."""


def list_folder(root: Path) -> Listing:
    """Walk `root` in the order of names. Hidden files and folders are passed over; linked folders too.

    Raises:
        DataError: `root` is no folder, or a captions.jsonl has a line that cannot be used.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. Give a folder of pictures.")
    listing = Listing()

    def cannot_read(error: OSError) -> None:
        folder = os.path.relpath(error.filename, root)
        listing.unreadable.append((folder, f"the folder cannot be read: {error.strerror}"))

    others: list[str] = []
    for place, folders, names in os.walk(root, onerror=cannot_read):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = "" if Path(place) == root else Path(place).relative_to(root).as_posix() + "/"
        has_captions = CAPTIONS in names
        if has_captions:
            listing.captions |= _captions(Path(place, CAPTIONS), prefix)
        for name in names:
            if name.startswith(".") or (has_captions and name in (CAPTIONS, CONTACT_SHEET)):
                continue
            is_picture = posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES
            (listing.pictures if is_picture else others).append(prefix + name)
    listing.pictures.sort()
    stems = {posixpath.splitext(path)[0] for path in listing.pictures}
    for path in others:
        stem, suffix = posixpath.splitext(path)
        if suffix != ".txt" or stem not in stems:
            listing.skipped[suffix.lower() or "(no suffix)"] += 1
    return listing


def sidecar_caption(picture: Path) -> str | None:
    """The text of the file beside a picture that has its name and ends in .txt, or None."""
    try:
        data = read_bytes(picture.with_suffix(".txt"), limits=SIDECAR_LIMITS)
    except MediaError:
        return None
    return data.decode("utf-8", "replace").strip() or None


def _captions(file: Path, prefix: str) -> dict[str, str]:
    """Picture -> text from lines that name `safe_image`, `safe_text`, `unsafe_image` and `unsafe_text`."""
    captions = {}
    with open(file, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            for picture, text in _pairs(line, where=f"{file}, line {number}"):
                # JSON may hold halves of surrogate pairs, which no database takes.
                text = text.encode("utf-8", "replace").decode("utf-8").strip()
                if text:
                    captions[posixpath.normpath(prefix + picture)] = text
    return captions


def _pairs(line: str, *, where: str) -> list[tuple[str, str]]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}). Correct the line, or move the file away.") from error
    keys = [(f"{side}_image", f"{side}_text") for side in ("safe", "unsafe")]
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), str) for pair in keys for key in pair
    ):
        raise DataError(
            f"{where}: expected an object with the texts safe_image, safe_text, unsafe_image and "
            "unsafe_text. Correct the line, or move the file away."
        )
    return [(record[image], record[text]) for image, text in keys]
