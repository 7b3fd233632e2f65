"""What is worth a look in a picture or caption that can be used: what becomes of it, and what is strange."""

import unicodedata
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageCms

from hyperaware.media.images import FORMATS

__all__ = ["caption_remarks", "picture_remarks"]

SMALL = 16
"""Pixels of the shortest side; below it, a tower sees blurred squares."""
LONG = 1000
"""Characters; CLIP's towers read 77 tokens, about 350 characters, and cut the rest."""
DIRECTIONS = frozenset(range(0x202A, 0x202F)) | frozenset(range(0x2066, 0x206A))
"""Letters that turn the order in which others are shown, so that a text reads otherwise than it looks."""
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jfif", ".mpo"),
    **{kind: (f".{kind.lower()}",) for kind in ("PNG", "WEBP", "GIF", "BMP")},
}


def picture_remarks(path: Path, data: bytes) -> tuple[list[str], list[str]]:
    """Of the bytes of a picture that `media.images.decode` accepts: how it is changed, what is strange."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        kind = str(image.format)
        changes = {
            "turned upright, as its EXIF says": _orientation(image) != 1,
            "CMYK, made RGB": image.mode == "CMYK",
            "16 bits, made 8": kind == "PNG" and data[24] == 16,
            "transparent, laid on white": image.has_transparency_data,
            "several pictures in one file, the first is used": kind == "MPO",
        }
        strange = {
            f"{kind}, called {path.suffix}": bool(path.suffix) and path.suffix.lower() not in SUFFIXES[kind],
            f"only {image.width} x {image.height} pixels": min(image.size) < SMALL,
            "its colour profile is damaged; none is applied": _has_bad_profile(image),
        }
    return [word for word, holds in changes.items() if holds], [
        word for word, holds in strange.items() if holds
    ]


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # unreadable EXIF says nothing
        return 1
    return found if found in range(2, 9) else 1


def _has_bad_profile(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile")
    if not profile:
        return False
    try:
        ImageCms.ImageCmsProfile(BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return True
    return False


def caption_remarks(text: str) -> list[str]:
    """What is strange in a caption.

    >>> caption_remarks("a cat\\x07 on a mat")
    ['a control character (U+0007)']
    """
    found = []
    odd = next((a for a in text if a not in "\t\r\n" and unicodedata.category(a) == "Cc"), None)
    if odd is not None:
        found.append(f"a control character (U+{ord(odd):04X})")
    if any(ord(letter) in DIRECTIONS for letter in text):
        found.append("letters that turn the direction of reading")
    if "\ufffd" in text:
        found.append("a letter that was lost in another encoding (U+FFFD)")
    if len(text) > LONG:
        found.append(f"{len(text):,} characters; what a tower does not read is cut off")
    return found
