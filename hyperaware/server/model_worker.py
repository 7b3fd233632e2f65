"""The process that holds the model: it loads the libraries, then a model when told to, then encodes.

What it is told, and what it answers (see `wire`):

    (start)                                      {"state": "imported"}
    {"do": "load", "model", "threads", "device"} {"state": "loaded", "name", "fingerprint", "space", ...}
    {"do": "text", "texts": [...]}               {"shape": [n, d]} and float32 points
    {"do": "fitting", "texts": [...]}            {"shape": [k, d], "fit": [1, 0, ...]}, points of what fits
    {"do": "image", "count", "size"} and pixels  {"shape": [n, d]} and float32 points

What cannot be done is answered by {"error": sentence}; the process stays.
"""

import gc
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from hyperaware.server.wire import Message, receive, send

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Answer what comes over the line with this file descriptor until it ends."""
    line = Connection(descriptor)
    import hyperaware.models.pretrained  # noqa: F401  the slow part: seconds, which a spare has behind it

    send(line, {"state": "imported"})
    model: DualEncoder | None = None
    while True:
        try:
            message = receive(line)
        except (EOFError, OSError):
            return
        try:
            if message.head["do"] == "load":
                model = _loaded(message.head)
                send(line, _about(model))
            else:
                assert model is not None, "the server loads a model first"
                send(line, *_encoded(model, message))
        except Exception as error:
            send(line, {"error": f"{type(error).__name__}: {error}"})


def _loaded(head: dict[str, Any]) -> "DualEncoder":
    import torch

    from hyperaware.models.pretrained import load

    torch.set_num_threads(head["threads"])
    model = load(head["model"], device=head["device"])
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not look at it again
    return model


def _about(model: "DualEncoder") -> dict[str, Any]:
    return {
        "state": "loaded",
        "name": model.name,
        "fingerprint": model.fingerprint,
        "space": model.space.config(),
        "dim": model.dim,
        "folder": str(model.folder),
        "preprocess": model.preprocess.config(),
        "provenance": model.provenance,
        "tokenizer": {
            "backend": model.tokenizer.backend.to_str(),
            **{name: getattr(model.tokenizer, name) for name in ("context_length", "eos_id", "pad_id")},
        },
    }


def _encoded(model: "DualEncoder", message: Message) -> tuple[dict[str, Any], bytes]:
    import numpy as np
    from PIL import Image

    told: dict[str, Any] = {}
    if message.head["do"] == "text":
        points = model.encode_text(message.head["texts"])
    elif message.head["do"] == "fitting":
        points, fit = model.encode_fitting(message.head["texts"])
        told["fit"] = list(map(int, fit))
    else:
        count, size = message.head["count"], message.head["size"]
        crops = np.frombuffer(message.body, dtype=np.uint8).reshape(count, size, size, 3)
        points = model.encode_image([Image.fromarray(crop) for crop in crops])
    return told | {"shape": list(points.shape)}, points.numpy().astype("<f4").tobytes()
