"""The process that decodes pictures from strangers: bounded memory and time, nothing to write to.

It loads Pillow and numpy, no model. What it is told, and what it answers (see `wire`):

    (start)                                      {"state": "ready"}
    {"do": "crop", "preprocess", ...} and a file {} and (size, size, 3) uint8: what the model sees
    {"do": "keep", "preprocess", "side", ...}    the same, and behind it the picture as a new PNG
    {"do": "thumbnail", "side", "blur", ...}     {} and a JPEG

What is refused is answered by {"reason": word, "error": sentence}; the process stays.
"""

import math
import sys
from io import BytesIO
from multiprocessing.connection import Connection
from typing import Any

from PIL import Image, ImageFilter

from hyperaware.errors import MediaError
from hyperaware.media.crop import crop_by
from hyperaware.media.images import Limits, decode
from hyperaware.server.wire import Message, receive, send

if sys.platform != "win32":
    import resource

__all__ = ["BLURRED_SIDE", "main"]

BLURRED_SIDE = 12
"""Longest side of a blurred picture before it is enlarged: what is lost here, nobody can bring back."""
QUALITY = 85
FILES = 32


def main(descriptor: int, memory: int) -> None:
    """Answer what comes over the line with this file descriptor until it ends.

    Args:
        memory: bytes of address space.
    """
    line = Connection(descriptor)
    _confine(memory)
    send(line, {"state": "ready"})
    while True:
        try:
            message = receive(line)
        except (EOFError, OSError):
            return
        try:
            _allow_seconds(message.head["seconds"])
            answer = _done(message)
        except MediaError as error:
            memory_gone = isinstance(error.__cause__, MemoryError)
            head = {"reason": "out_of_memory" if memory_gone else error.reason, "error": str(error)}
            if memory_gone:
                head["error"] = f"{message.head['name']}: decoding it takes more memory than is allowed."
            answer = Message(head, b"")
        except MemoryError:
            words = f"{message.head['name']}: decoding it takes more memory than is allowed."
            answer = Message({"reason": "out_of_memory", "error": words}, b"")
        send(line, *answer)


def _confine(memory: int) -> None:
    if sys.platform == "win32":
        return
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        resource.setrlimit(kind, (limit, limit))


def _allow_seconds(seconds: float) -> None:
    """Processor time for one picture, a second more than the server waits: it kills first, if it lives."""
    if sys.platform == "win32":
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _done(message: Message) -> Message:
    head = message.head
    limits = Limits(max_bytes=head["max_bytes"], max_pixels=head["max_pixels"])
    picture = decode(message.body, limits=limits, name=head["name"])
    if head["do"] == "thumbnail":
        return Message({}, _thumbnail(picture, head["side"], blur=head["blur"]))
    if head["do"] == "crop":
        return Message({}, crop_by(picture, head["preprocess"]).tobytes())
    picture.thumbnail((head["side"], head["side"]))
    return Message({}, crop_by(picture, head["preprocess"]).tobytes() + _written(picture, "PNG"))


def _thumbnail(picture: Image.Image, side: int, *, blur: bool) -> bytes:
    picture.thumbnail((side, side))
    if blur:
        size = picture.size
        picture.thumbnail((BLURRED_SIDE, BLURRED_SIDE))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
        picture = picture.filter(ImageFilter.GaussianBlur(max(size) / BLURRED_SIDE))
    return _written(picture, "JPEG")


def _written(picture: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    options: dict[str, Any] = {"quality": QUALITY} if kind == "JPEG" else {"compress_level": 1}
    Image.frombytes("RGB", picture.size, picture.tobytes()).save(file, kind, **options)  # without metadata
    return file.getvalue()
