"""Still pictures from untrusted files.

Every limit is checked before the work that it limits: the size on disk before reading, the format before a
decoder is chosen, the pixels and frames of the header before the pixels are decoded. What does not pass is
refused with a `MediaError` that names the file, says what was found and what is accepted, and carries one of
the words of `REASONS`.

A picture comes out as every viewer shows it: upright (EXIF), white where it is transparent, RGB with 8 bits.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from hyperaware.errors import ConfigError, MediaError

__all__ = [
    "DEFAULT_LIMITS",
    "FORMATS",
    "IMAGE_SUFFIXES",
    "REASONS",
    "Limits",
    "content_hash",
    "decode",
    "read_bytes",
]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""The formats that may be decoded. Anything else never reaches a decoder, whatever its file is called."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp"})
"""Lower-case suffixes of files that are worth trying; the content, not the suffix, decides the format."""

REASONS = (
    "missing",
    "empty",
    "too_large",
    "too_many_pixels",
    "too_many_frames",
    "unsupported",
    "truncated",
    "corrupt",
)

MAX_ASPECT = 100
"""The longest side over the shortest. A picture of 1 x 65000 is small until its shortest side becomes 224."""

_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WEBP", 8, b"WEBP"),
    ("GIF", 0, b"GIF8"),
    ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("PSD", 0, b"8BPS"),
    ("PDF", 0, b"%PDF"),
    ("AVIF", 4, b"ftypavif"),
    ("HEIC or another ISO container", 4, b"ftyp"),
    ("XML, perhaps SVG", 0, b"<"),
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """What a picture may cost before it is refused.

    Raises:
        ConfigError: a limit is not positive, or more than one frame is asked for.
    """

    max_bytes: int = 64 * 2**20
    """Size of the file, in bytes. A 12-megapixel JPEG has about 4 MiB, a PNG of the same size about 30."""
    max_pixels: int = 64_000_000
    """Width times height; 64 megapixels are 192 MB of RGB. `PIL.Image.MAX_IMAGE_PIXELS` (89) holds too."""
    max_frames: int = 1
    """Pictures in one file. Only 1 is supported: one frame of an animation cannot answer for the rest."""

    def __post_init__(self) -> None:
        if self.max_frames != 1:
            raise ConfigError(
                f"max_frames={self.max_frames} is not supported; only still pictures are (max_frames=1)."
            )
        if self.max_bytes < 1 or self.max_pixels < 1:
            raise ConfigError(f"limits must be positive, got {self}.")


DEFAULT_LIMITS = Limits()


def decode(
    source: str | Path | bytes | Image.Image,
    *,
    limits: Limits = DEFAULT_LIMITS,
    hint: int | None = None,
    name: str | None = None,
) -> Image.Image:
    """The picture in `source` as a new RGB image: upright, flattened on white, 16 bits scaled to 8.

    Args:
        source: A path, the bytes of a file, or an open picture, which is held to the same limits.
        hint: The shortest side that is wanted, in pixels. A bigger JPEG is decoded at 1/2, 1/4 or 1/8 of its
            size, never below the hint: several times faster, and not the same to the last bit.
        name: What messages call the picture; by default its path.

    Raises:
        MediaError: the picture is refused; `.reason` is one of `REASONS`.
        ConfigError: the process has told Pillow to accept truncated files.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ConfigError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so cut files would pass. Set it to False."
        )
    if isinstance(source, Image.Image):
        return _decode_open(
            source, None, limits, hint, name or getattr(source, "filename", "") or "the picture"
        )
    if isinstance(source, bytes):
        name = name or "the picture"
        data = _within_size(source, limits, name)
    else:
        name = name or str(source)
        data = read_bytes(source, limits=limits, name=name)
    return _decode_open(_opened(data, name), data, limits, hint, name)


def read_bytes(source: str | Path, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> bytes:
    """The bytes of a regular file that is neither empty nor too large.

    Raises:
        MediaError: "missing", "unsupported" (a folder, a pipe), "empty" or "too_large".
    """
    name = name or str(source)
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(
                f"{name}: this is not a regular file; give the path of a picture.", reason="unsupported"
            )
        if status.st_size > limits.max_bytes:
            raise _too_large(status.st_size, limits, name)
        with open(source, "rb") as file:
            return _within_size(file.read(limits.max_bytes + 1), limits, name)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise MediaError(f"{name}: the file cannot be read: {what}.", reason="missing") from error


def content_hash(source: str | Path | bytes) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    >>> content_hash(b"")[:16]
    'e3b0c44298fc1c14'

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


# -- before decoding -------------------------------------------------------------------------------------


def _within_size(data: bytes, limits: Limits, name: str) -> bytes:
    if not data:
        raise MediaError(f"{name}: the file is empty.", reason="empty")
    if len(data) > limits.max_bytes:
        raise _too_large(len(data), limits, name)
    return data


def _too_large(size: int, limits: Limits, name: str) -> MediaError:
    return MediaError(
        f"{name}: {size:,} bytes; at most {limits.max_bytes:,} are accepted. "
        "Save it smaller, or raise max_bytes.",
        reason="too_large",
    )


def _found(data: bytes) -> str | None:
    return next(
        (kind for kind, start, magic in _SIGNATURES if data[start : start + len(magic)] == magic), None
    )


def _opened(data: bytes, name: str) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    kind = _found(data)
    if kind not in FORMATS:
        found = kind or f"an unknown format (it starts with {data[:8]!r})"
        raise MediaError(
            f"{name}: found {found}; accepted are {', '.join(FORMATS)}. Convert it to one of these.",
            reason="unsupported",
        )
    if kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise MediaError(
            f"{name}: the file is shorter than its header says; fetch it anew.", reason="truncated"
        )
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        if image.format == "PNG":
            Image.open(
                BytesIO(data), formats=("PNG",)
            ).verify()  # checksums of all chunks, and that the last is there
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{name}: {error} Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS.", reason="too_many_pixels"
        ) from error
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{name}: a {kind} by its first bytes, but its header is damaged or cut. Fetch or save it anew.",
            reason="corrupt",
        ) from error
    except Exception as error:
        raise _undecodable(error, name) from error
    return image


def _check_header(image: Image.Image, data: bytes | None, limits: Limits, name: str) -> None:
    width, height = image.size
    # MPO is what phones write: a JPEG with previews behind it. Viewers show the first picture, and so do we.
    if image.format not in (None, *FORMATS, "MPO"):
        raise MediaError(
            f"{name}: found {image.format}; accepted are {', '.join(FORMATS)}. Convert it to one of these.",
            reason="unsupported",
        )
    most = min(limits.max_pixels, Image.MAX_IMAGE_PIXELS or limits.max_pixels)
    if width * height > most:
        raise MediaError(
            f"{name}: {width} x {height} pixels; at most {most:,} are accepted. "
            "Scale it down, or raise max_pixels (and, above 89 million, PIL.Image.MAX_IMAGE_PIXELS).",
            reason="too_many_pixels",
        )
    if min(width, height) < 1 or max(width, height) > MAX_ASPECT * min(width, height):
        raise MediaError(
            f"{name}: {width} x {height} pixels; the longest side may be at most {MAX_ASPECT} times "
            "the shortest. Crop it.",
            reason="unsupported",
        )
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise MediaError(
            f"{name}: an animation; only still pictures are accepted, for one frame cannot answer for "
            "the rest. Save its frames as pictures of their own.",
            reason="too_many_frames",
        )
    if image.format == "GIF" and data is not None and not data.rstrip(b"\x00\r\n ").endswith(b";"):
        raise MediaError(f"{name}: the GIF has no end mark; it was cut. Fetch it anew.", reason="truncated")


# -- decoding --------------------------------------------------------------------------------------------


def _decode_open(
    image: Image.Image, data: bytes | None, limits: Limits, hint: int | None, name: str
) -> Image.Image:
    try:
        _check_header(image, data, limits, name)
        if hint is not None and data is not None:  # an image of the caller's is left as it is
            image.draft(None, (hint, hint))
        image.load()
        return _upright(image, _rgb(image, name))
    except MediaError:
        raise
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise _undecodable(error, name) from error


def _undecodable(error: Exception, name: str) -> MediaError:
    # Pillow has no error class of its own for files that end too early, only words.
    truncated = any(word in str(error).lower() for word in ("truncated", "end of file"))
    what = "the file ends before the picture does" if truncated else "the picture is damaged"
    return MediaError(
        f"{name}: {what} ({type(error).__name__}: {error}). Fetch or save it anew.",
        reason="truncated" if truncated else "corrupt",
    )


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in ("I", "F"):
        raise MediaError(
            f"{name}: pixels of mode {image.mode} have no defined white. Convert them to L or RGB first.",
            reason="unsupported",
        )
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits scaled to 8: black stays black, white and transparent become white."""
    values = np.asarray(image).astype(np.uint32)
    scaled = ((values + 128) // 257).astype(np.uint8)
    transparent: Any = image.info.get("transparency")
    if transparent is not None:
        scaled[values == transparent] = 255
    return Image.fromarray(scaled)


def _upright(image: Image.Image, pixels: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # unreadable EXIF says nothing, to a viewer as to us
        turn = None
    return pixels if turn is None else pixels.transpose(turn)
