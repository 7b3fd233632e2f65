"""What can be wrong with an item of an index, apart from the file that holds it."""

from collections.abc import Iterator
from pathlib import Path

from hyperaware.geometry.space import Space
from hyperaware.index.store import Item, vector_problem
from hyperaware.media.images import content_hash

__all__ = ["file_problem", "item_problems"]


def item_problems(item: Item, *, space: Space, dimension: int | None) -> Iterator[str]:
    """A sentence for a vector that is no point of the space, or a score that is not its root distance."""
    if item.vector is None:
        return
    problem = vector_problem(item.vector, space, dimension)
    if problem is not None:
        yield f"{item.path}: {problem}. Remove the item and index its folder again."
    elif item.score is not None and space.has_root:
        measured = float(space.root_distance(item.vector.double()))
        if abs(item.score - measured) > 1e-3 * max(1.0, measured):
            yield (
                f"{item.path}: the score is {item.score:.4f}, but the root distance is {measured:.4f}. "
                "Remove the item and index its folder again."
            )


def file_problem(path: str, expected_hash: str, root: Path) -> str | None:
    """A sentence if the file at `path` is missing or is not the one that was indexed."""
    try:
        if content_hash(root / path) == expected_hash:
            return None
        return f"{path}: the file has changed since it was indexed. Index the folder again."
    except OSError as error:
        return f"{path}: the file cannot be read ({error.strerror}). Index the folder again, with prune."
