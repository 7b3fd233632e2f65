"""Files that several processes share: a lock between them, and writes that have reached the disk."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperaware.files import whole

if sys.platform != "win32":
    import fcntl

__all__ = ["exclusive", "sync_folder", "write_private"]


@contextmanager
def exclusive(path: Path, *, create: bool = True) -> Iterator[None]:
    """Until the block ends nobody else is in such a block for `path`, in any thread or process.

    It is `flock` on the empty file `PATH.lock`, which each block opens for itself, so it also holds between
    the threads of a process; the kernel ends it with the process that holds it. Without `create`: where
    there is no such file, or none that may be read, nobody can be writing here, and nothing is locked.

    Windows has no `flock`: there nothing is locked, and only one process may write.
    """
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), flags, 0o600)
    except (FileNotFoundError, PermissionError):
        if create:
            raise
        yield
        return
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole, readable by its owner only (mode 0600), and wait until it is on the disk."""
    with whole(path) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk. Windows cannot and need not."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
