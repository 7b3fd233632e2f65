"""The process that decodes, given damaged files: it answers each of them, stays alive, and stays small."""

import contextlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from damaged_pictures import damaged, fuzzing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hyperaware.errors import MediaError
from hyperaware.media.images import REASONS, Limits
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.squash import Squash
from hyperaware.server.decoding import Decoders
from hyperaware.server.pictures import picture_bytes
from hyperaware.server.problems import Problem

MIB = 2**20
SIZE, SIDE = 32, 48
PREPROCESS = {"crop": Preprocess(size=SIZE), "squash": Squash(size=SIZE)}


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """One process for all; nothing may end it. A picture that takes longer than this hangs."""
    made = Decoders(1, limits=Limits(max_bytes=MIB, max_pixels=1_000_000), seconds=60, memory=512 * MIB)
    yield made
    made.close()


@fuzzing(250)
@given(damaged, st.sampled_from(["crop", "squash", "keep", "thumbnail", "blurred"]))
def test_the_process_answers_every_damaged_file(decoders: Decoders, data: bytes, order: str) -> None:
    with contextlib.suppress(MediaError):
        check(decoders, data, order)
    assert set(decoders.failures) <= {*REASONS, "out_of_memory"}  # not "crashed", nor "timeout"


def check(decoders: Decoders, data: bytes, order: str) -> None:
    if order in PREPROCESS:
        assert decoders.crop(data, preprocess=PREPROCESS[order], name="it").size == (SIZE, SIZE)
    elif order == "keep":
        crop, png = decoders.kept(data, preprocess=PREPROCESS["crop"], name="it")
        assert crop.size == (SIZE, SIZE)
        assert Image.open(BytesIO(png)).mode == "RGB"
    else:
        jpeg = Image.open(BytesIO(decoders.thumbnail(data, side=SIDE, blur=order == "blurred", name="it")))
        assert (jpeg.format, jpeg.mode) == ("JPEG", "RGB")
        assert max(jpeg.size) <= SIDE


urls = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}{}{},{}".format,
        st.sampled_from(["data:", "DATA:", "dat\u00e4:"]),
        st.text(max_size=20) | st.just("image/png"),
        st.sampled_from([";base64", ";BASE64", "", ";base64;x"]),
        st.text(max_size=60) | st.text("ABCabc019+/=", max_size=60),
    ),
)


@fuzzing(200)
@given(urls)
def test_whatever_a_url_is_there_are_bytes_or_a_refusal(url: str) -> None:
    found = bytes_of(url)
    if isinstance(found, bytes):
        assert len(found) <= 33
        return
    assert found.status == 400
    assert found.code in {"unsupported_url", "too_large", "corrupt"}
    assert len(found.message) < 200


def bytes_of(url: str) -> bytes | Problem:
    try:
        return picture_bytes(url, param="image", most=30, fetcher=None)
    except Problem as problem:
        return problem


def test_after_all_of_them_it_is_the_same_small_process(decoders: Decoders) -> None:
    child = decoders._free.get()
    decoders._free.put(child)
    if child is None:
        pytest.skip("the examples were not run")
    assert child.alive
    status = Path(f"/proc/{child.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 150 * 1024, f"the process that decodes took {peak} KiB"
