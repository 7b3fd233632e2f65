"""A process that stands in for the model's: it loads nothing, and its points can be told by hand.

A text's point is (its length, 0); a picture's (its first byte, 1). Orders in the text make it misbehave.
"""

import os
import time
from multiprocessing.connection import Connection

import numpy as np

from hyperaware.server.wire import receive, send


def main(descriptor: int) -> None:
    line = Connection(descriptor)
    send(line, {"state": "imported"})
    while True:
        try:
            message = receive(line)
        except (EOFError, OSError):
            return
        order = message.head["do"]
        if order == "load":
            if message.head["model"] == "broken":
                send(line, {"error": "it is broken"})
                continue
            about = {"state": "loaded", "name": "fake", "fingerprint": message.head["model"], "dim": 2}
            send(line, about)
        elif order == "text":
            texts = message.head["texts"]
            if "die" in texts:
                os._exit(1)
            if "hang" in texts:
                time.sleep(600)
            if "fail" in texts:
                send(line, {"error": "cannot"})
                continue
            value = float("nan") if "nan" in texts else 0.0
            _answer(line, [(len(text), value) for text in texts])
        else:
            count, size = message.head["count"], message.head["size"]
            pixels = np.frombuffer(message.body, dtype=np.uint8).reshape(count, size, size, 3)
            _answer(line, [(int(picture.flat[0]), 1) for picture in pixels])


def _answer(line: Connection, rows: list[tuple[float, float]]) -> None:
    send(line, {"shape": [len(rows), 2]}, np.array(rows, dtype="<f4").tobytes())
