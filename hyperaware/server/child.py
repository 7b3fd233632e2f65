"""A worker process, and the line to it. It ends when the server does, in whatever way: its line ends then."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing import Pipe
from typing import Any

from hyperaware.server.wire import Message, receive, send

__all__ = ["Child", "ChildGone"]


class ChildGone(Exception):
    """The process died, said nothing in time, or said nonsense; it has been killed."""


class Child:
    """A process that runs `main(descriptor, *arguments)` of `module`.

    It has a session of its own, so that Ctrl-C is not for it.
    """

    def __init__(
        self, module: str, *, arguments: tuple[int, ...] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self._line, theirs = Pipe(duplex=True)
        command = f"from {module} import main; main(*{(theirs.fileno(), *arguments)})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", command],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._sending = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a message.

        Raises:
            ChildGone: nobody is there.
        """
        try:
            with self._sending:
                send(self._line, head, body)
        except (OSError, ValueError) as error:  # ValueError: over the largest size
            raise ChildGone(f"the process {self.pid} is gone") from error

    def receive(self, *, seconds: float) -> Message:
        """The next message of the child. It is killed if there is none within `seconds`.

        Raises:
            ChildGone: there is none, nor will there be one.
        """
        try:
            if not self._line.poll(seconds):
                raise TimeoutError(f"nothing within {seconds:g} s")
            return receive(self._line)
        except (EOFError, OSError) as error:
            self.kill()
            raise ChildGone(f"the process {self.pid} is gone: {error}") from error

    def kill(self) -> None:
        """End the process now and wait for it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process and close the line."""
        self.kill()
        self._line.close()
