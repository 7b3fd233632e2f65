"""Messages between the server and its worker processes: a JSON head, and bytes behind it.

Nothing is pickled: a process that decodes hostile pictures must not be able to hand objects to the server.
"""

import json
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

__all__ = ["LARGEST", "Message", "receive", "send"]

LARGEST = 2**30
"""Bytes of a message; longer ones end the connection."""
_PREFIX = 4


class Message(NamedTuple):
    """What one side says to the other."""

    head: dict[str, Any]
    body: bytes


def send(connection: Connection, head: dict[str, Any], body: bytes = b"") -> None:
    """Send a message.

    Raises:
        OSError: the other side is gone.
    """
    words = json.dumps(head, allow_nan=False).encode()
    connection.send_bytes(len(words).to_bytes(_PREFIX, "big") + words + body)


def receive(connection: Connection) -> Message:
    """The next message; waits for it.

    Raises:
        EOFError, OSError: the other side is gone, or said something that is no message.
    """
    data = connection.recv_bytes(LARGEST)
    length = int.from_bytes(data[:_PREFIX], "big")
    try:
        head = json.loads(data[_PREFIX : _PREFIX + length])
    except ValueError as error:
        raise OSError("the other process sent no message") from error
    if not isinstance(head, dict):
        raise OSError("the other process sent no message")
    return Message(head, data[_PREFIX + length :])
