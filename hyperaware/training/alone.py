"""One run in a folder at a time: a second one would write into the first one's log and checkpoints."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperaware import distributed
from hyperaware.errors import TrainingError

if sys.platform != "win32":
    import fcntl

__all__ = ["alone"]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Until the block ends, no other run is in such a block for `folder`; the processes of one run share it.

    A killed launcher may leave its processes at work. The lock is `flock` on the folder itself, which ends
    with the main process. Windows has none, and some network disks have none: there nothing is locked.

    Raises:
        TrainingError: another run is at work there.
    """
    descriptor = distributed.by_main(lambda: _locked(folder))
    try:
        yield
    finally:
        if descriptor is not None and distributed.is_main():
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise TrainingError(
            f"another run is at work in {folder}. Wait for it or end it (a killed launcher leaves its "
            "processes behind), or choose another folder."
        ) from error
    except OSError:  # a disk without locks
        pass
    return descriptor
