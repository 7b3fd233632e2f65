"""Pictures that came inside a file of rows, kept as files of their own, each once by the hash of its bytes.

A row names its pictures by path, so that they are decoded by one reader, whatever they came in.
"""

import os
from pathlib import Path, PurePosixPath

from hyperaware.files import whole
from hyperaware.media.images import IMAGE_SUFFIXES, content_hash

__all__ = ["cache_folder", "keep"]


def cache_folder() -> Path:
    """Where pictures are kept by default: $HYPERAWARE_CACHE/pictures or ~/.cache/hyperaware/pictures."""
    cache = os.environ.get("HYPERAWARE_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "hyperaware") / "pictures"


def keep(data: bytes, name: str | None, folder: Path) -> Path:
    """The file in `folder` that has these bytes now. Of `name` only a picture's suffix is used."""
    suffix = PurePosixPath(name or "").suffix.lower()
    path = folder.absolute() / (content_hash(data) + (suffix if suffix in IMAGE_SUFFIXES else ""))
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(data)
    return path
