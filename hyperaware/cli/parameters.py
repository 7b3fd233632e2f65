"""Parameters that several verbs share, spelled and explained once."""

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "ModelName", "World", "world_cache"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, for machines.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a model's folder.")]
World = Annotated[
    Path | None,
    typer.Option(
        "--world",
        metavar="DIR",
        help="Where pictures drawn from the embedded world are kept. "
        "[default: $HYPERAWARE_CACHE/world or ~/.cache/hyperaware/world]",
    ),
]


def world_cache(given: Path | None) -> Path:
    """The folder of `--world`, or its default."""
    if given is not None:
        return given
    cache = os.environ.get("HYPERAWARE_CACHE")
    return Path(cache) / "world" if cache else Path.home() / ".cache" / "hyperaware" / "world"
