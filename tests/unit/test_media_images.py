"""Decoding: every refusal is seen for its own reason, and what is accepted looks as a viewer shows it."""

import hashlib
import io
import os
import random
import struct
import warnings
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageFile

from hyperaware.errors import ConfigError, MediaError
from hyperaware.media.images import FORMATS, REASONS, Limits, content_hash, decode, read_bytes

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
SAVED_AS = {
    "jpeg": ("JPEG", {}),
    "progressive-jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless-webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
}


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def refusal(source: object, **options: object) -> MediaError:
    with pytest.raises(MediaError) as caught:
        decode(source, **options)  # type: ignore[arg-type]
    assert caught.value.reason in REASONS
    return caught.value


def png_of(header: bytes, rows: bytes) -> bytes:
    """A PNG with this IHDR and these rows, for headers that Pillow would not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# -- what is accepted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_every_listed_format_is_decoded_to_plain_rgb(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{format.lower()}"
    path.write_bytes(saved(Image.new("RGB", (40, 30), (200, 30, 60)), format))
    for source in (path, str(path), path.read_bytes(), Image.open(io.BytesIO(path.read_bytes()))):
        image = decode(source)
        assert (type(image), image.mode, image.size) == (Image.Image, "RGB", (40, 30))
        assert np.abs(np.asarray(image, dtype=int) - (200, 30, 60)).max() <= 6


def test_lossless_pixels_come_out_unchanged() -> None:
    assert np.array_equal(decode(saved(NOISE, "PNG")), NOISE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = Image.new("RGB", (32, 16), "black")
    stored.paste("red", (0, 0, 16, 8))  # the top left quarter of the stored pixels
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = np.asarray(decode(saved(stored, "PNG", exif=exif)))
    assert shown.shape[:2] == ((16, 32) if orientation <= 4 else (32, 16))
    rows, columns = np.nonzero(shown[..., 0] > 128)
    corner = ("bottom" if rows.min() else "top", "right" if columns.min() else "left")
    expected = {  # where the EXIF standard says that row 0 and column 0 of the stored pixels belong
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("top", "left"),
        6: ("top", "right"),
        7: ("bottom", "right"),
        8: ("bottom", "left"),
    }
    assert corner == expected[orientation]


def test_unreadable_exif_leaves_the_picture_as_it_is() -> None:
    for exif in (b"Exif\x00\x00no tiff header", b"Exif\x00\x00II*\x00"):
        assert np.array_equal(decode(saved(NOISE, "PNG", exif=exif)), NOISE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "1"])
def test_transparent_pixels_become_white_and_opaque_ones_stay_black(mode: str) -> None:
    values = np.zeros((8, 8, 4), dtype=np.uint8)
    values[:4, :, 3] = 255  # the top is opaque black, the bottom transparent black
    image = Image.fromarray(values)
    if mode in ("RGBA", "LA"):
        data = saved(image.convert(mode), "PNG")
    else:  # a colour, palette entry or grey value declared transparent
        top_is_black = np.where(values[..., 3] > 0, 0, 255).astype(np.uint8)
        opaque = Image.fromarray(top_is_black).convert("P" if mode == "P" else mode)
        transparent = (255, 255, 255) if mode == "RGB" else int(np.asarray(opaque)[7, 0])
        if mode == "P":  # make the transparent entry black, so that dropping transparency would show
            opaque.putpalette([0, 0, 0] * 256)
        data = saved(opaque, "PNG", transparency=transparent)
    shown = np.asarray(decode(data))
    assert (shown[:4] == 0).all()
    assert (shown[4:] == 255).all()


def test_half_transparent_black_becomes_grey() -> None:
    shown = np.asarray(decode(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")))
    assert np.unique(shown).tolist() == [127]


def test_16_bit_grey_is_scaled_and_neither_wraps_nor_saturates() -> None:
    values = np.array([[0, 257, 32768, 65535, 200, 65278]], dtype=np.uint16)
    shown = np.asarray(decode(saved(Image.fromarray(values), "PNG")))
    assert shown[0, :, 0].tolist() == [0, 1, 128, 255, 1, 254]


def test_16_bit_grey_with_a_transparent_value() -> None:
    values = np.array([[0, 1000, 65535]], dtype=np.uint16)
    shown = np.asarray(decode(saved(Image.fromarray(values), "PNG", transparency=1000)))
    assert shown[0, :, 0].tolist() == [0, 255, 255]


def test_16_bit_colour_keeps_its_high_byte() -> None:
    pixel = struct.pack(">3H", 0, 0x8000, 0xFFFF)
    shown = decode(png_of(struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0), b"\x00" + pixel))
    assert shown.getpixel((0, 0)) == (0, 128, 255)


def test_cmyk_and_grey_jpegs_keep_their_colours() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(np.asarray(decode(saved(red, "JPEG")), dtype=int) - (255, 0, 0)).max() <= 6
    assert decode(saved(Image.new("L", (16, 16), 90), "JPEG")).getpixel((3, 3)) == (90, 90, 90)


def test_pictures_without_a_defined_white_are_refused() -> None:
    assert refusal(Image.new("F", (4, 4), 0.5)).reason == "unsupported"
    assert refusal(Image.new("I", (4, 4), 70000)).reason == "unsupported"


def test_a_hint_lets_a_big_jpeg_come_out_smaller_but_never_below_it() -> None:
    data = saved(Image.new("RGB", (1600, 800), "teal"), "JPEG")
    assert decode(data).size == (1600, 800)
    assert decode(data, hint=100).size == (200, 100)
    assert decode(data, hint=101).size == (400, 200)
    assert decode(data, hint=900).size == (1600, 800)
    assert decode(saved(Image.new("RGB", (1600, 800)), "PNG"), hint=100).size == (1600, 800)


def test_an_open_picture_of_the_caller_is_not_changed() -> None:
    mine = Image.open(io.BytesIO(saved(Image.new("CMYK", (1600, 800)), "JPEG")))
    decode(mine, hint=100)
    assert (mine.mode, mine.size) == ("CMYK", (1600, 800))


def test_a_phone_picture_with_previews_behind_it_is_a_still_picture() -> None:
    data = saved(NOISE, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2  # the premise
    assert decode(data).size == NOISE.size


# -- what is refused -------------------------------------------------------------------------------------


def test_missing_and_irregular_files(tmp_path: Path) -> None:
    error = refusal(tmp_path / "gone.png")
    assert error.reason == "missing"
    assert "gone.png" in str(error)
    assert refusal("nul\x00byte.png").reason == "missing"
    assert refusal(tmp_path).reason == "unsupported"
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)  # opening it would wait for ever
    assert refusal(pipe).reason == "unsupported"


def test_empty_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert refusal(tmp_path / "empty.png").reason == "empty"
    assert refusal(b"").reason == "empty"


def test_size_on_disk_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with open(path, "wb") as file:
        file.truncate(2**40)  # a terabyte that cannot be read into memory
    error = refusal(path)
    assert error.reason == "too_large"
    assert "sparse.png" in str(error)
    assert "1,099,511,627,776 bytes" in str(error)
    assert "max_bytes" in str(error)
    assert refusal(saved(NOISE, "PNG"), limits=Limits(max_bytes=100)).reason == "too_large"


def test_pixels_are_checked_before_decoding() -> None:
    """A header that claims 8001 x 8000 pixels over a handful of bytes: decoding it would say "truncated"."""
    bomb = png_of(struct.pack(">2I5B", 8001, 8000, 8, 2, 0, 0, 0), b"")
    error = refusal(bomb, name="bomb.png")
    assert error.reason == "too_many_pixels"
    assert str(error).startswith("bomb.png: 8001 x 8000")
    assert refusal(NOISE, limits=Limits(max_pixels=479)).reason == "too_many_pixels"
    assert decode(NOISE, limits=Limits(max_pixels=480)).size == (20, 24)


@pytest.mark.parametrize("side", [10_000, 60_000], ids=["warned of by Pillow", "refused by Pillow"])
@pytest.mark.parametrize("filtered", ["error", "ignore"])
def test_decoding_bombs_are_media_errors(side: int, filtered: Literal["error", "ignore"]) -> None:
    bomb = png_of(struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), b"")
    with warnings.catch_warnings():
        warnings.simplefilter(filtered)
        assert refusal(bomb).reason == "too_many_pixels"
        assert refusal(bomb, limits=Limits(max_pixels=10**12)).reason == "too_many_pixels"


def test_extreme_shapes_are_refused_since_resizing_would_explode() -> None:
    assert refusal(Image.new("L", (1, 20_000))).reason == "unsupported"
    assert decode(Image.new("L", (100, 1))).size == (100, 1)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_and_still_pictures_of_the_format_are_not(format: str) -> None:
    other = Image.new("RGB", NOISE.size)
    error = refusal(saved(NOISE, format, save_all=True, append_images=[other], duration=50), name="cat.gif")
    assert error.reason == "too_many_frames"
    assert "cat.gif" in str(error)
    assert "Save its frames" in str(error)
    assert decode(saved(NOISE, format)).size == NOISE.size


def test_more_frames_cannot_be_allowed_by_mistake() -> None:
    with pytest.raises(ConfigError, match="max_frames=5 is not supported"):
        Limits(max_frames=5)
    with pytest.raises(ConfigError, match="positive"):
        Limits(max_pixels=0)


@pytest.mark.parametrize("format", ["TIFF", "PPM", "ICO", "TGA", "PCX"])
def test_formats_off_the_list_reach_no_decoder_whatever_their_suffix(format: str, tmp_path: Path) -> None:
    path = tmp_path / "innocent.jpg"
    path.write_bytes(saved(Image.new("RGB", (16, 16)), format))
    with Image.open(path) as opened:
        assert refusal(opened).reason == "unsupported"  # Pillow would read it; the list does not have it
    error = refusal(path)
    assert error.reason == "unsupported"
    assert "accepted are JPEG, PNG, WEBP, GIF, BMP" in str(error)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"<svg/>", "SVG"),
        (b"\0\0\0\x20ftypheic", "HEIC"),
        (b"hello", "unknown format"),
    ],
)
def test_the_message_says_what_was_found(data: bytes, kind: str) -> None:
    assert kind in str(refusal(data))


@pytest.mark.parametrize("kind", SAVED_AS)
def test_a_file_cut_anywhere_is_refused(kind: str) -> None:
    format, options = SAVED_AS[kind]
    data = saved(NOISE, format, **options)
    decode(data)
    whole = len(data) - (4 if format == "PNG" else 0)  # a PNG ends with the checksum of its end mark
    reasons = [refusal(data[:length]).reason for length in range(1, whole)]
    assert set(reasons) <= {"truncated", "corrupt", "unsupported"}
    assert reasons[len(reasons) * 3 // 4] == "truncated"
    if format == "JPEG":
        assert refusal(data[:-9], hint=4).reason == "truncated"


@pytest.mark.parametrize("kind", SAVED_AS)
def test_hostile_bytes_raise_nothing_but_media_errors(kind: str) -> None:
    format, options = SAVED_AS[kind]
    data = saved(NOISE, format, **options)
    generator = random.Random(kind)
    refused = 0
    for _ in range(150):
        hostile = bytearray(data)
        for _ in range(generator.randint(1, 8)):
            hostile[generator.randrange(len(hostile))] = generator.randrange(256)
        try:
            assert decode(bytes(hostile)).mode == "RGB"
        except MediaError:
            refused += 1
    assert refused > 0


def test_damaged_png_data_are_refused_by_their_checksum() -> None:
    data = bytearray(saved(NOISE, "PNG"))
    data[len(data) // 2] ^= 1
    assert refusal(bytes(data)).reason == "corrupt"


def test_a_process_that_lets_truncated_files_pass_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ConfigError, match="LOAD_TRUNCATED_IMAGES"):
        decode(saved(NOISE, "JPEG")[:-40])


# -- bytes and hashes ------------------------------------------------------------------------------------


def test_content_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than one block
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert content_hash(path) == content_hash(str(path)) == content_hash(data) == expected
    assert read_bytes(path) == data
