"""A data set with every kind of damage that we know of, and with everything odd that is used all the same.

Each kind is one row, whose id is the name of the kind. `DAMAGES` says what is expected to be told of it.
"""

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from model_samples import random_picture
from PIL import Image

__all__ = ["DAMAGES", "ODDITIES", "Damage", "Oddity", "write_damaged"]

Line = dict[str, Any]


class Damage(NamedTuple):
    """A row that cannot be used."""

    kind: str
    """The kind of finding of `data check`."""
    says: str
    """A part of the reason."""
    make: Callable[[Path, Line], Line | bytes]
    """Damages the files and the record of a sound row; gives the record, or the bytes of its line."""


class Oddity(NamedTuple):
    """A row that is used, and a part of what is remarked on it; None: nothing is."""

    kind: str | None
    says: str
    make: Callable[[Path, Line], Line | bytes]


# -- pictures --------------------------------------------------------------------------------------------


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or noise()).save(file, kind, **options)
    return file.getvalue()


def noise(seed: int = 0) -> Image.Image:
    return random_picture(10_000 + seed, size=(40, 32))


def smooth(seed: int) -> Image.Image:
    """A picture with edges that survive an encoder."""
    return random_picture(20_000 + seed, size=(6, 5)).resize((48, 40), Image.Resampling.BICUBIC)


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of such a header, whatever stands behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def holds(data: bytes, suffix: str = ".png") -> Callable[[Path, Line], Line]:
    """The safe picture has these bytes, and perhaps another suffix."""

    def make(folder: Path, line: Line) -> Line:
        path = (folder / line["safe_image"]).with_suffix(suffix)
        path.write_bytes(data)
        return line | {"safe_image": path.name}

    return make


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(share * len(data))]


def flipped(data: bytes) -> bytes:
    """One bit in the middle of a PNG's pixels is wrong; its checksum tells."""
    at = data.index(b"IDAT") + 40
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def several(kind: str) -> bytes:
    return encoded(kind, smooth(1), save_all=True, append_images=[smooth(2), smooth(3)])


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6
    return found


def container(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + bytes(12) + bytes(200)


def sparse(folder: Path, line: Line) -> Line:
    """A file of 65 MiB that needs no room on the disk."""
    with open(folder / line["safe_image"], "wb") as file:
        file.truncate(65 * 2**20)
    return line


# -- files -----------------------------------------------------------------------------------------------


def instead(place: Callable[[Path], None]) -> Callable[[Path, Line], Line]:
    """Something else lies where the safe picture is expected."""

    def make(folder: Path, line: Line) -> Line:
        path = folder / line["safe_image"]
        path.unlink()
        place(path)
        return line

    return make


def named(name: str) -> Callable[[Path, Line], Line]:
    return lambda folder, line: line | {"safe_image": name}


# -- records ---------------------------------------------------------------------------------------------


def changed(**changes: Any) -> Callable[[Path, Line], Line]:
    return lambda folder, line: line | changes


def without(key: str) -> Callable[[Path, Line], Line]:
    return lambda folder, line: {name: value for name, value in line.items() if name != key}


def raw(edit: Callable[[bytes], bytes]) -> Callable[[Path, Line], bytes]:
    return lambda folder, line: edit(json.dumps(line).encode())


def copy_of_a_calibration_picture(folder: Path, line: Line) -> Line:
    (folder / line["safe_image"]).write_bytes((folder / "calibration.png").read_bytes())
    return line


DAMAGES: dict[str, Damage] = {
    # pictures
    "zero bytes": Damage("bad_picture", "the file is empty", holds(b"")),
    "truncated JPEG": Damage("bad_picture", "ends before the picture does", holds(cut(encoded("JPEG")))),
    "truncated progressive JPEG": Damage(
        "bad_picture", "ends before the picture does", holds(cut(encoded("JPEG", progressive=True)))
    ),
    "truncated PNG": Damage("bad_picture", "Fetch or save it anew", holds(cut(encoded("PNG")))),
    "truncated WebP": Damage("bad_picture", "shorter than its header says", holds(cut(encoded("WEBP")))),
    "truncated GIF": Damage("bad_picture", "it was cut", holds(encoded("GIF")[:-40])),
    "truncated BMP": Damage("bad_picture", "ends before the picture does", holds(cut(encoded("BMP")))),
    "wrong checksum": Damage("bad_picture", "the picture is damaged", holds(flipped(encoded("PNG")))),
    "JPEG header only": Damage(
        "bad_picture", "header is damaged or cut", holds(b"\xff\xd8\xff\xe0" + bytes(50))
    ),
    "gigapixel header": Damage(
        "bad_picture", "4225000000 pixels|65000 x 65000", holds(png(65000, 65000, 8, 2, b""))
    ),
    "ribbon": Damage("bad_picture", "at most 100 times", holds(encoded("PNG", noise().resize((1, 2000))))),
    "animated GIF": Damage("bad_picture", "an animation", holds(several("GIF"))),
    "animated WebP": Damage("bad_picture", "an animation", holds(several("WEBP"))),
    "animated PNG": Damage("bad_picture", "an animation", holds(several("PNG"))),
    "HEIC": Damage("bad_picture", "HEIC", holds(container(b"heic"), ".heic")),
    "AVIF": Damage("bad_picture", "AVIF", holds(container(b"avif"), ".avif")),
    "TIFF": Damage("bad_picture", "found TIFF", holds(encoded("TIFF"), ".tif")),
    "SVG": Damage("bad_picture", "SVG", holds(b"<svg xmlns='http://www.w3.org/2000/svg'/>", ".svg")),
    "PDF": Damage("bad_picture", "found PDF", holds(b"%PDF-1.7\n", ".pdf")),
    "page of an error": Damage("bad_picture", "XML", holds(b"<html>404 not found</html>")),
    "text": Damage("bad_picture", "unknown format", holds(b"not a picture")),
    "unknown bytes": Damage("bad_picture", "unknown format", holds(random.Random(0).randbytes(500))),
    "too large": Damage("bad_picture", "at most 67,108,864 are accepted", sparse),
    # files
    "missing": Damage("missing", "is missing", instead(lambda path: None)),
    "folder": Damage("missing", "is a folder", instead(Path.mkdir)),
    "broken link": Damage("missing", "is missing", instead(lambda path: path.symlink_to("nowhere"))),
    "link to itself": Damage("missing", "is missing", instead(lambda path: path.symlink_to(path))),
    "pipe": Damage("missing", "is missing", instead(lambda path: os.mkfifo(path))),
    "name with a zero": Damage("missing", "is missing", named("a\0b.png")),
    "endless name": Damage("missing", "is missing", named("a" * 5000 + ".png")),
    # captions
    "empty caption": Damage("empty_caption", "'unsafe_text' must be", changed(unsafe_text="")),
    "blank caption": Damage("empty_caption", "'unsafe_text' must be", changed(unsafe_text=" \t")),
    "null caption": Damage("empty_caption", "'safe_text' must be", changed(safe_text=None)),
    "NaN caption": Damage("empty_caption", "'safe_text' must be", changed(safe_text=float("nan"))),
    "lost caption": Damage("empty_caption", "where a caption was lost", changed(safe_text="nan")),
    "no caption": Damage("empty_caption", "'safe_text' must be", without("safe_text")),
    "number for a caption": Damage("bad_row", "'safe_text' must be", changed(safe_text=7)),
    "huge caption": Damage("bad_row", "at most 65,536", changed(safe_text="word " * 20_000)),
    "half a letter": Damage("bad_row", "half of a letter", changed(safe_text="a \ud83d")),
    # records
    "missing pair": Damage("bad_row", "'unsafe_image' must be", without("unsafe_image")),
    "no id": Damage("bad_row", "'id' must be", without("id")),
    "no split": Damage("bad_row", "'split' must be", without("split")),
    "id used before": Damage("duplicate_id", "was used in", changed(id="good 0")),
    "wrong label": Damage("bad_row", "must be 'safe' or 'unsafe'", changed(labels={"unsafe_text": "nsfw"})),
    "label of no part": Damage("bad_row", "labels has no part", changed(labels={"text": "safe"})),
    "safe labelled unsafe": Damage("bad_row", "safe by definition", changed(labels={"safe_text": "unsafe"})),
    "labels as a list": Damage("bad_row", "'labels' must be", changed(labels=["safe"])),
    "category as a number": Damage("bad_row", "'category' must be", changed(category=3)),
    "broken boxes": Damage("bad_row", "boxes of safe must be", changed(boxes={"safe": [["a", 9, 0, 1, 1]]})),
    "broken JSON": Damage("bad_row", "not JSON", raw(lambda line: line[:-7])),
    "two records in a line": Damage("bad_row", "not JSON", raw(lambda line: line + b"\r" + line)),
    "bad UTF-8": Damage("bad_row", "not UTF-8", raw(lambda line: line.replace(b"unsafe text", b"\xe9\xff"))),
    "list for a record": Damage("bad_row", "expected a JSON object", raw(lambda line: b"[" + line + b"]")),
    # between splits
    "duplicate across splits": Damage("leaking", "the same picture is in", copy_of_a_calibration_picture),
}


def hidden(folder: Path, line: Line) -> Line:
    """The picture lies beside the folder, and is named by its absolute path."""
    path = folder.parent / "absolute path-moved.png"
    (folder / line["safe_image"]).rename(path)
    return line | {"safe_image": str(path)}


def linked(folder: Path, line: Line) -> Line:
    path = folder / line["safe_image"]
    path.rename(folder.parent / "moved.png")
    path.symlink_to(folder.parent / "moved.png")
    return line


def escaping(folder: Path, line: Line) -> Line:
    (folder / line["safe_image"]).rename(folder.parent / "path upwards-moved.png")
    return line | {"safe_image": "../path upwards-moved.png"}


def copied(folder: Path, line: Line) -> Line:
    (folder / line["safe_image"]).write_bytes((folder / "good 0-safe.png").read_bytes())
    return line


def alike(folder: Path, line: Line) -> Line:
    for side, size in (("safe", (48, 40)), ("unsafe", (60, 50))):
        (folder / line[f"{side}_image"]).write_bytes(encoded("PNG", smooth(40).resize(size)))
    return line


GREY16 = png(16, 16, 16, 0, b"".join(b"\0" + random.Random(y).randbytes(32) for y in range(16)))
RGB16 = png(16, 16, 16, 2, b"".join(b"\0" + random.Random(y).randbytes(96) for y in range(16)))
PALETTE = encoded("PNG", smooth(7).quantize(16), transparency=3)

ODDITIES: dict[str, Oddity] = {
    "CMYK": Oddity("changed_picture", "CMYK", holds(encoded("JPEG", smooth(5).convert("CMYK")), ".jpg")),
    "16 bits grey": Oddity("changed_picture", "16 bits", holds(GREY16)),
    "16 bits": Oddity("changed_picture", "16 bits", holds(RGB16)),
    "EXIF-rotated": Oddity(
        "changed_picture", "EXIF", holds(encoded("JPEG", smooth(8), exif=exif()), ".jpeg")
    ),
    "alpha": Oddity(
        "changed_picture",
        "transparent",
        holds(
            encoded("PNG", Image.merge("RGBA", [*smooth(9).split(), noise().resize((48, 40)).convert("L")]))
        ),
    ),
    "palette with transparency": Oddity("changed_picture", "transparent", holds(PALETTE)),
    "several in one file": Oddity(
        "changed_picture",
        "the first is used",
        holds(encoded("MPO", smooth(10), save_all=True, append_images=[smooth(11)]), ".jpg"),
    ),
    "wrong extension": Oddity("odd_picture", "JPEG, called .png", holds(encoded("JPEG", smooth(12)))),
    "tiny": Oddity("odd_picture", "only 1 x 1", holds(encoded("PNG", noise().resize((1, 1))))),
    "broken colour profile": Oddity(
        "odd_picture",
        "colour profile is damaged",
        holds(encoded("PNG", smooth(13), icc_profile=b"broken" * 40)),
    ),
    "control character": Oddity("odd_caption", "U+0007", changed(safe_text="a cat\a on a mat")),
    "turned reading": Oddity("odd_caption", "direction", changed(safe_text="a \u202etac\u202c on a mat")),
    "lost letters": Oddity("odd_caption", "U+FFFD", changed(safe_text="caf\ufffd")),
    "long caption": Oddity("odd_caption", "characters", changed(safe_text="a cat and " * 300)),
    "absolute path": Oddity("outside", "paths lead out", hidden),
    "path upwards": Oddity("outside", "paths lead out", escaping),
    "link out": Oddity("outside", "links lead out", linked),
    "unknown column": Oddity(
        "ignored_column", "'lables'. Is it 'labels'?", changed(lables={"unsafe_text": "safe"})
    ),
    "same bytes": Oddity("duplicate_picture", "same bytes", copied),
    "nearly the same": Oddity("alike_picture", "look the same", alike),
    "same captions": Oddity(
        "duplicate_captions",
        "same two captions",
        changed(safe_text="safe text 0", unsafe_text="unsafe text 0"),
    ),
    "progressive JPEG": Oddity(None, "", holds(encoded("JPEG", smooth(14), progressive=True), ".jpg")),
    "interlaced GIF": Oddity(None, "", holds(encoded("GIF", smooth(15), interlace=1), ".gif")),
    "grey": Oddity(None, "", holds(encoded("PNG", smooth(16).convert("L")))),
    "one bit": Oddity(None, "", holds(encoded("PNG", smooth(17).convert("1")))),
    "bytes after the end": Oddity(None, "", holds(encoded("PNG", smooth(18)) + b"trailing")),
    "carriage return": Oddity(None, "", raw(lambda line: line + b"\r")),
}
"""Named by what they are; those without a remark are as ordinary as any."""


def write_damaged(folder: Path, *, good: int = 8) -> dict[str, int]:
    """Writes a data set of split train, and gives the line of each kind in its captions.jsonl.

    `calibration.png` in the folder is the picture that a row shares with another split. The file begins with
    a byte order mark.
    """
    folder.mkdir(parents=True)
    (folder / "calibration.png").write_bytes(encoded("PNG", noise(999)))
    lines, places = [], {}
    kinds = {f"good {k}": changed() for k in range(good)}
    kinds |= {name: each.make for name, each in ODDITIES.items()}
    kinds |= {name: each.make for name, each in DAMAGES.items()}
    for number, (name, make) in enumerate(kinds.items()):
        line: Line = {"id": name, "split": "train"}
        for shift, side in enumerate(("safe", "unsafe")):
            line |= {f"{side}_text": f"{side} text {number}", f"{side}_image": f"{name}-{side}.png"}
            (folder / line[f"{side}_image"]).write_bytes(encoded("PNG", noise(2 * number + shift)))
        made = make(folder, line)
        lines.append(made if isinstance(made, bytes) else json.dumps(made).encode())
        places[name] = number + 1
    (folder / "captions.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n")
    return places
