"""Decoding elsewhere: what comes back, what is refused and why, and that a process may die of a picture."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hyperaware.errors import MediaError
from hyperaware.media.crop import centre_crop
from hyperaware.media.images import Limits, decode
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.squash import Squash
from hyperaware.server.decoding import Decoders

MIB = 2**20
Make = Callable[..., Decoders]


@pytest.fixture
def decoders() -> Iterator[Make]:
    made: list[Decoders] = []

    def make(*, seconds: float = 120, memory: int = 1024 * MIB, **limits: int) -> Decoders:
        chosen = {"max_bytes": 4 * MIB, "max_pixels": 40_000_000, **limits}
        made.append(Decoders(1, limits=Limits(**chosen), seconds=seconds, memory=memory))
        return made[-1]

    yield make
    for each in made:
        each.close()


def file_of(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_crop_is_what_the_model_would_have_seen_here(decoders: Make) -> None:
    data = file_of(noise(70, 50), "JPEG")
    crop = decoders().crop(data, preprocess=Preprocess(size=48), name="it")
    assert np.array_equal(np.asarray(crop), centre_crop(decode(data), 48))


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_the_crop_is_by_the_models_own_preprocessing(decoders: Make, filter: str) -> None:
    """SigLIP sees the whole of a picture, squashed into a square."""
    data, preprocess = file_of(noise(70, 50)), Squash(size=32, filter=filter)
    make = decoders()
    crop = make.crop(data, preprocess=preprocess, name="it")
    assert np.array_equal(np.asarray(crop), preprocess.crop(decode(data)))
    assert not np.array_equal(np.asarray(crop), centre_crop(decode(data), 32))
    kept = make.kept(data, preprocess=preprocess, name="it")
    assert np.array_equal(np.asarray(kept.crop), np.asarray(crop))


def test_a_kept_picture_is_written_anew_upright_and_without_metadata(decoders: Make) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    exif[0x010E] = "where I live"
    data = file_of(noise(40, 20), "JPEG", exif=exif) + b"<script>alert(1)</script>"
    crop, png = decoders().kept(data, preprocess=Preprocess(size=16), name="it")
    assert b"where I live" not in png
    assert b"script" not in png
    again = Image.open(BytesIO(png))
    assert (again.format, again.mode, again.size) == ("PNG", "RGB", (20, 40))
    assert np.array_equal(np.asarray(crop), centre_crop(again.convert("RGB"), 16))


def test_blurring_loses_what_it_hides(decoders: Make) -> None:
    stripes = np.zeros((120, 120, 3), dtype=np.uint8)
    stripes[:, ::4] = 255
    make = decoders()
    clear, blurred = (
        np.asarray(
            Image.open(
                BytesIO(make.thumbnail(file_of(Image.fromarray(stripes)), side=120, blur=blur, name="it"))
            ),
            dtype=float,
        )
        for blur in (False, True)
    )
    assert clear.std() > 80
    assert blurred.std() < 8
    assert clear.shape == blurred.shape == (120, 120, 3)


def test_refusals_carry_their_reason_and_the_process_goes_on(decoders: Make) -> None:
    make = decoders(max_pixels=10_000)
    found = {}
    for name, data in {
        "pixels": file_of(noise(200, 200)),
        "empty": b"",
        "bytes": b"\xff" * (5 * MIB),
        "kind": b"%PDF-1.7",
        "cut": file_of(noise(50, 50))[:400],
    }.items():
        with pytest.raises(MediaError) as refused:
            make.crop(data, preprocess=Preprocess(size=16), name="it")
        found[name] = refused.value.reason
    assert found == {
        "pixels": "too_many_pixels",
        "empty": "empty",
        "bytes": "too_large",
        "kind": "unsupported",
        "cut": "truncated",
    }
    assert make.failures == dict.fromkeys(found.values(), 1)
    assert make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it").size == (16, 16)


def test_a_picture_that_takes_too_long_is_given_up_with_its_process(decoders: Make) -> None:
    make = decoders(seconds=0.002)
    with pytest.raises(MediaError) as refused:
        make.crop(file_of(Image.new("RGB", (5000, 5000))), preprocess=Preprocess(size=16), name="it")
    assert refused.value.reason == "timeout"
    make._told = decoders()._told
    assert make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it").size == (16, 16)


def test_a_picture_that_takes_too_much_memory_is_refused(decoders: Make) -> None:
    make = decoders(memory=300 * MIB)
    with pytest.raises(MediaError) as refused:
        make.crop(file_of(Image.new("RGBA", (6000, 6000))), preprocess=Preprocess(size=16), name="it")
    assert refused.value.reason == "out_of_memory"
    assert make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it").size == (16, 16)


def test_a_process_that_was_killed_is_replaced(decoders: Make) -> None:
    make = decoders()
    make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it")
    child = make._free.get()
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    make._free.put(child)
    with suppress(MediaError):  # "crashed", if the death is noticed by the picture only
        make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it")
    assert make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it").size == (16, 16)


def test_the_process_that_decodes_cannot_write_and_has_no_model(decoders: Make) -> None:
    make = decoders()
    make.crop(file_of(noise(50, 50)), preprocess=Preprocess(size=16), name="it")
    child = make._free.get()
    make._free.put(child)
    assert child is not None
    with open(f"/proc/{child.pid}/limits") as limits:
        found = {line[:25].strip(): line[26:].split()[0] for line in limits}
    assert found["Max file size"] == "0"
    assert found["Max address space"] == str(1024 * MIB)
    with open(f"/proc/{child.pid}/maps") as maps:
        assert "torch" not in maps.read()
