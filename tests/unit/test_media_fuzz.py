"""Decoding whatever a file holds: a picture as promised or a `MediaError` with its reason, in bounded time.

`HYPERAWARE_FUZZ=20000 pytest tests/unit/test_media_fuzz.py tests/server/test_decode_fuzz.py` looks longer.
"""

import time
import warnings
from collections import Counter

import pytest
from damaged_pictures import FILES, damaged, fuzzing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hyperaware.errors import MediaError
from hyperaware.media.images import FORMATS, MAX_ASPECT, REASONS, Limits, decode

LIMITS = Limits(max_bytes=2**20, max_pixels=1_000_000)
SECONDS = 10.0
"""A damaged file of some kilobytes takes milliseconds; a busy machine may take longer."""
ANIMATED = {name for name in FILES if name.endswith("animated")}

found: Counter[str] = Counter()
"""What the examples came to."""


def test_the_sound_files_are_of_every_format_and_are_decoded() -> None:
    assert {name.split()[0].upper() for name in FILES} == set(FORMATS)
    for name in set(FILES) - ANIMATED:
        assert decode(FILES[name], limits=LIMITS).mode == "RGB", name
    for name in ANIMATED:
        with pytest.raises(MediaError, match="animation"):
            decode(FILES[name], limits=LIMITS)


@fuzzing(500)
@given(damaged, st.sampled_from([None, None, 4, 16]))
def test_a_damaged_file_is_a_picture_as_promised_or_refused_with_a_reason(
    data: bytes, hint: int | None
) -> None:
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in use: there a warning of Pillow's does not end the decoding
        outcome = decoded(data, hint)
    assert time.monotonic() - started < SECONDS
    if isinstance(outcome, MediaError):
        assert outcome.reason in REASONS
        assert str(outcome).startswith("it: ")
        found[outcome.reason] += 1
        return
    width, height = outcome.size
    assert (type(outcome), outcome.mode) == (Image.Image, "RGB")
    assert 1 <= width * height <= LIMITS.max_pixels
    assert max(width, height) <= MAX_ASPECT * min(width, height)
    assert len(outcome.tobytes()) == 3 * width * height
    found["decoded"] += 1


def decoded(data: bytes, hint: int | None) -> Image.Image | MediaError:
    """The picture, or its refusal; any other exception is a finding."""
    try:
        return decode(data, limits=LIMITS, hint=hint, name="it")
    except MediaError as error:
        return error


def test_the_examples_reach_every_outcome() -> None:
    """Otherwise the test above tries next to nothing; run it first."""
    if not found:
        pytest.skip("the examples were not run")
    assert {"decoded", "corrupt", "truncated", "unsupported", "too_many_pixels", "too_many_frames"} <= set(
        found
    )
    assert found["decoded"] > sum(found.values()) / 20
