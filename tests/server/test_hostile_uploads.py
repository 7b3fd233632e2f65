"""Forty hostile uploads, made here: each is refused with a reason, memory stays bounded, the server goes
on."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from httpx import Response
from model_samples import random_picture
from PIL import Image
from served_app import data_url, served
from starlette.testclient import TestClient

from hyperaware.models.dual_encoder import DualEncoder

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{ } loop\n"


def file_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


GOOD = random_picture(1, size=(64, 64))
PNG, JPEG, GIF, BMP, WEBP = (file_of(GOOD, kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP"))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes, *, kind: int = 2, before: bytes = b"", depth: int = 8) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """`size` zeros, compressed about a thousandfold."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // 2**20 + 1)) + packer.flush()


def frames(count: int) -> bytes:
    """A GIF of so many frames of one pixel."""
    image = (
        b"\x21\xf9\x04\x00\x01\x00\x00\x00"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\x00"
    )
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + image * count + b";"


def archive(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, content)
    return file.getvalue()


def nested(depth: int) -> bytes:
    content = bytes(2**20)
    for level in range(depth):
        content = archive(f"{level}.zip", content)
    return content


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    start = JPEG.index(b"\xff\xc0")
    return JPEG[: start + 5] + struct.pack(">HH", height, width) + JPEG[start + 9 :]


def bmp_of(width: int, height: int) -> bytes:
    return BMP[:18] + struct.pack("<ii", width, height) + BMP[26:]


def animated(kind: str, **options: object) -> bytes:
    others = [random_picture(seed, size=(64, 64)) for seed in range(3)]
    return file_of(GOOD, kind, save_all=True, append_images=others, **options)


UPLOADS: dict[str, Callable[[], bytes]] = {
    # bombs: small files that would become large
    "png of 40,000 x 40,000": lambda: png(40_000, 40_000, zlib.compress(b"")),
    "png that really inflates to 100 megapixels": lambda: png(10_000, 10_000, zeros(300_010_000)),
    "png of 2^31 x 1": lambda: png(2**31 - 1, 1, zlib.compress(b"")),
    "png of 1 x 65,000": lambda: png(1, 65_000, zlib.compress(bytes(4 * 65_000))),
    "png of no pixels": lambda: png(0, 0, zlib.compress(b"")),
    "png whose text inflates": lambda: png(
        8, 8, zlib.compress(bytes(200)), before=chunk(b"zTXt", b"a\0\0" + zeros(2**27))
    ),
    "png whose profile inflates": lambda: png(
        8, 8, zlib.compress(bytes(200)), before=chunk(b"iCCP", b"a\0\0" + zeros(2**27))
    ),
    "jpeg of 65,500 x 65,500": lambda: jpeg_of(65_500, 65_500),
    "bmp of 60,000 x 60,000": lambda: bmp_of(60_000, 60_000),
    "bmp of a negative size": lambda: bmp_of(-60_000, -60_000),
    "gif of 65,535 x 65,535": lambda: (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b";"
    ),
    "gzip of a picture": lambda: gzip.compress(PNG),
    "zip bomb, nested": lambda: nested(4),
    "zip of a picture": lambda: archive("a.png", PNG),
    # frames
    "gif of 10,000 frames": lambda: frames(10_000),
    "gif of 3 frames": lambda: animated("GIF"),
    "animated png": lambda: animated("PNG"),
    "animated webp": lambda: animated("WEBP"),
    # cut, damaged, lying
    "png cut in half": lambda: PNG[: len(PNG) // 2],
    "jpeg cut in half": lambda: JPEG[: len(JPEG) // 2],
    "gif cut in half": lambda: GIF[: len(GIF) // 2],
    "bmp cut in half": lambda: BMP[: len(BMP) // 2],
    "webp cut in half": lambda: WEBP[: len(WEBP) // 2],
    "png of a wrong checksum": lambda: PNG[:40] + bytes([PNG[40] ^ 1]) + PNG[41:],
    "png without an end": lambda: PNG[:-12],
    "png of a chunk of 4 GB": lambda: PNG[:33] + b"\xff\xff\xff\xffIDAT" + PNG[41:],
    "png of an unknown depth": lambda: png(8, 8, zlib.compress(bytes(200)), depth=77),
    "png of nothing but a signature": lambda: PNG[:8],
    "jpeg of nothing but markers": lambda: b"\xff\xd8\xff" + b"\xff" * 5000,
    "webp of a lying length": lambda: b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(50),
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(256)) * 20,
    # other kinds, and two at once
    "svg with a script": lambda: SVG,
    "eps that loops": lambda: EPS,
    "pdf": lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
    "tiff": lambda: file_of(GOOD, "TIFF"),
    "ico": lambda: file_of(GOOD, "ICO"),
    "heic": lambda: b"\0\0\0\x18ftypheic" + bytes(200),
    "html that looks like a gif later": lambda: b"<html>" + GIF,
    "program": lambda: b"\x7fELF" + bytes(500),
    "psd": lambda: b"8BPS\0\1" + bytes(100),
    "too many bytes": lambda: PNG + bytes(2**22),
    "svg behind a gif's first bytes": lambda: b"GIF8" + SVG,
    "zip behind a png's first bytes": lambda: PNG[:8] + archive("a", b"a"),
}


@pytest.fixture(scope="module")
def client(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    limits = {"max_image_bytes": 2**22, "max_image_pixels": 30_000_000, "decode_seconds": 60}
    with served(model, state=tmp_path_factory.mktemp("state"), **limits) as client:
        yield client


def test_there_are_forty() -> None:
    assert len(UPLOADS) >= 40


@pytest.mark.parametrize("name", UPLOADS)
def test_a_hostile_upload_is_refused_with_a_reason(client: TestClient, name: str) -> None:
    answer = send(client, UPLOADS[name]())
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] in {
        "corrupt",
        "empty",
        "out_of_memory",
        "timeout",
        "too_large",
        "too_many_frames",
        "too_many_pixels",
        "truncated",
        "unsupported",
    }
    assert error["param"] == "input[0]"
    assert len(error["message"]) < 500
    assert "Traceback" not in error["message"]


def test_after_all_of_them_the_server_answers_and_memory_is_bounded(client: TestClient) -> None:
    for make in UPLOADS.values():
        send(client, make())
    assert send(client, PNG).status_code == 200
    decoders = client.app.state.engine.decoders  # type: ignore[attr-defined]
    child = decoders._free.get()
    decoders._free.put(child)
    status = Path(f"/proc/{child.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 400 * 1024, f"the process that decodes took {peak} KiB"
    assert os.path.exists(f"/proc/{child.pid}")


def test_a_polyglot_that_is_a_picture_is_kept_as_a_picture_only(
    model: DualEncoder, own_index: Path, tmp_path: Path
) -> None:
    with served(model, index=own_index, state=tmp_path / "state") as client:
        polyglot = PNG + archive("evil.html", b"<script>alert(1)</script>")
        added = client.post("/v1/items", json={"image": {"url": data_url(polyglot)}})
        assert added.status_code == 201, added.text
        root = client.app.state.engine.searcher.store.root  # type: ignore[attr-defined]
        (kept,) = (root / "uploads").iterdir()
        assert b"evil" not in kept.read_bytes()
        kept.unlink()
        kept.parent.rmdir()


def send(client: TestClient, data: bytes) -> Response:
    url = data_url(data) if data else "data:image/png;base64,"
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    return client.post("/v1/moderations", json={"input": parts})
