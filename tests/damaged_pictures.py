"""Files of pictures in every accepted format, and strategies that damage them.

What decoders check first (checksums, lengths) is set right again after the damage half of the time: otherwise
nearly every file would be refused at its door, and nothing behind it would be tried.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from model_samples import random_picture
from PIL import Image
from strategies import repeatable

__all__ = ["FILES", "damaged", "fuzzing"]

EXAMPLES = "HYPERAWARE_FUZZ"
"""The variable that asks for another number of examples: HYPERAWARE_FUZZ=20000."""
Damage = Callable[[bytes], bytes]


def fuzzing(examples: int) -> settings:
    """So many examples, or as many as the environment asks for; the same ones in every run."""
    return settings(repeatable, max_examples=int(os.environ.get(EXAMPLES, examples)))


# -- sound files -----------------------------------------------------------------------------------------


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    return exif


def _files() -> dict[str, bytes]:
    noise, smooth = random_picture(5, size=(20, 13)), Image.linear_gradient("L").resize((33, 17))
    colour = Image.merge("RGB", [smooth, smooth.rotate(180), smooth])
    palette, alpha = colour.quantize(16), Image.merge("RGBA", [*colour.split(), smooth])
    frames = {"save_all": True, "append_images": [colour.rotate(180)]}
    return {
        "png": saved(noise, "PNG"),
        "png grey": saved(smooth, "PNG"),
        "png alpha": saved(alpha, "PNG", exif=_exif()),
        "png grey alpha": saved(Image.merge("LA", [smooth, smooth]), "PNG"),
        "png palette": saved(palette, "PNG", transparency=3),
        "png bits": saved(smooth.convert("1"), "PNG"),
        "png 16": saved(smooth.convert("I;16"), "PNG"),
        "png profile": saved(colour, "PNG", icc_profile=bytes(200), transparency=(1, 2, 3)),
        "png animated": saved(colour, "PNG", **frames),
        "jpeg": saved(colour, "JPEG", quality=90),
        "jpeg noise": saved(noise, "JPEG", subsampling=0, exif=_exif()),
        "jpeg grey": saved(smooth, "JPEG"),
        "jpeg progressive": saved(colour, "JPEG", progressive=True),
        "jpeg cmyk": saved(colour.convert("CMYK"), "JPEG"),
        "jpeg restarts": saved(colour, "JPEG", restart_marker_blocks=2, comment=b"a comment"),
        "jpeg of several": saved(colour, "MPO", **frames),
        "webp": saved(colour, "WEBP", exif=_exif()),
        "webp lossless": saved(noise, "WEBP", lossless=True),
        "webp alpha": saved(alpha, "WEBP"),
        "webp animated": saved(colour, "WEBP", **frames),
        "gif": saved(palette, "GIF"),
        "gif transparent": saved(palette, "GIF", transparency=2, interlace=1, comment=b"a comment"),
        "gif animated": saved(palette, "GIF", **frames),
        "bmp": saved(noise, "BMP"),
        "bmp palette": saved(palette, "BMP"),
        "bmp bits": saved(smooth.convert("1"), "BMP"),
        "bmp alpha": saved(alpha, "BMP"),
        "bmp runs": _bmp_of_runs(),
    }


def _bmp_of_runs() -> bytes:
    """A BMP in RLE8, which Pillow reads and does not write: 8 x 4 pixels, a run, a row of its own, an end."""
    rows = b"\x08\x01\x00\x00" + b"\x00\x08" + bytes(range(8)) + b"\x00\x00"
    rows += b"\x00\x02\x01\x01\x07\x02\x00\x01"
    colours = b"".join(bytes((value, value, 255 - value, 0)) for value in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    start = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + colours + rows


FILES = _files()
"""Sound files by what they are."""

# -- damage ----------------------------------------------------------------------------------------------

VALUES = (0, 1, 2, 3, 7, 8, 100, 127, 128, 255, 256, 999, 32767, 32768, 65500, 65535, 2**24, 2**31 - 1, 2**31)
"""What a field of a header is set to, beside any number at all."""
places = st.floats(0, 1, exclude_max=True) | st.floats(0, 0.1)
"""A place in a file, as a share of it: anywhere, or near the beginning."""
numbers = st.sampled_from(VALUES) | st.integers(0, 2**32 - 1)


def _at(data: Sequence, place: float) -> int:
    return int(place * len(data))


def flipped(place: float, bit: int) -> Damage:
    def damage(data: bytes) -> bytes:
        at = _at(data, place)
        return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]

    return damage


def cut(place: float) -> Damage:
    return lambda data: data[: _at(data, place)]


def inserted(place: float, piece: bytes) -> Damage:
    return lambda data: data[: _at(data, place)] + piece + data[_at(data, place) :]


def removed(place: float, count: int) -> Damage:
    return lambda data: data[: _at(data, place)] + data[_at(data, place) + count :]


def copied(start: float, count: int, place: float) -> Damage:
    def damage(data: bytes) -> bytes:
        piece = data[_at(data, start) :][:count]
        return data[: _at(data, place)] + piece + data[_at(data, place) :]

    return damage


def spliced(other: str, place: float, start: float) -> Damage:
    return lambda data: data[: _at(data, place)] + FILES[other][_at(FILES[other], start) :]


def field(place: float, form: str, number: int) -> Damage:
    def damage(data: bytes) -> bytes:
        piece = struct.pack(form, number % 2 ** (8 * struct.calcsize(form)))
        at = _at(data, place)
        return data[:at] + piece + data[at + len(piece) :]

    return damage


def sized(width: int, height: int) -> Damage:
    """Another width and height, where the format has them."""

    def damage(data: bytes) -> bytes:
        if data[:4] == b"\x89PNG":
            return data[:16] + struct.pack(">II", width, height) + data[24:]
        if data[:4] == b"GIF8":
            return data[:6] + struct.pack("<HH", width % 65536, height % 65536) + data[10:]
        if data[:2] == b"BM":
            return data[:18] + struct.pack("<II", width, height) + data[26:]
        if data[12:16] == b"VP8X":
            three = [(each % 2**24).to_bytes(3, "little") for each in (width, height)]
            return data[:24] + b"".join(three) + data[30:]
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        if frame < 0:
            return data
        return data[: frame + 5] + struct.pack(">HH", height % 65536, width % 65536) + data[frame + 9 :]

    return damage


def chunks(data: bytes) -> list[bytes]:
    """The parts of a PNG, a JPEG's header or a WebP; one part of anything else, and what follows the last."""
    if data[:4] == b"\x89PNG":
        return _walked(data, 8, lambda at: 12 + int.from_bytes(data[at : at + 4], "big"))
    if data[:2] == b"\xff\xd8":
        return _walked(
            data, 2, lambda at: 2 + int.from_bytes(data[at + 2 : at + 4], "big") if data[at] == 255 else 0
        )
    if data[8:12] == b"WEBP":
        return _walked(data, 12, lambda at: 8 + _even(int.from_bytes(data[at + 4 : at + 8], "little")))
    return [data]


def _even(length: int) -> int:
    return length + length % 2


def _walked(data: bytes, start: int, length: Callable[[int], int]) -> list[bytes]:
    parts, at = [data[:start]], start
    while at < len(data):
        step = length(at)
        if step <= 2:
            return [*parts, data[at:]]
        parts.append(data[at : at + step])
        at += step
    return parts


def rearranged(what: str, first: float, second: float) -> Damage:
    """Parts of the file doubled, dropped, or in another order."""

    def damage(data: bytes) -> bytes:
        parts = chunks(data)
        if len(parts) < 2:
            return data
        a, b = (1 + _at(parts[1:], place) for place in (first, second))
        if what == "double":
            parts.insert(b, parts[a])
        elif what == "drop":
            del parts[a]
        else:
            parts[a], parts[b] = parts[b], parts[a]
        return b"".join(parts)

    return damage


def mended(data: bytes) -> bytes:
    """The file with right checksums (PNG) and lengths (WebP, BMP), so that its decoder looks at the rest."""
    if data[:4] == b"\x89PNG":
        head, *parts = chunks(data)
        return head + b"".join(_checked(part) for part in parts)
    if data[8:12] == b"WEBP":
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    if data[:2] == b"BM":
        return data[:2] + struct.pack("<I", len(data)) + data[6:]
    return data


def _checked(chunk: bytes) -> bytes:
    kind, body = chunk[4:8], chunk[8:-4]
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


damages = st.one_of(
    st.builds(flipped, places, st.integers(0, 7)),
    st.builds(field, places, st.sampled_from([">B", ">H", "<H", ">I", "<I"]), numbers),
    st.builds(sized, numbers, numbers),
    st.builds(sized, st.integers(0, 2000), st.integers(0, 2000)),
    st.builds(rearranged, st.sampled_from(["double", "drop", "swap"]), places, places),
    st.builds(cut, places),
    st.builds(inserted, places, st.binary(min_size=1, max_size=40)),
    st.builds(removed, places, st.integers(1, 60)),
    st.builds(copied, places, st.integers(1, 300), places),
    st.builds(spliced, st.sampled_from(sorted(FILES)), places, places),
)


def _damaged(name: str, several: list[Damage], mend: bool) -> bytes:
    data = FILES[name]
    for damage in several:
        data = damage(data) if data else data
    return mended(data) if mend else data


damaged = st.builds(
    _damaged, st.sampled_from(sorted(FILES)), st.lists(damages, min_size=1, max_size=5), st.booleans()
)
"""Files that were sound once."""
