"""Parameters that several verbs share, spelled and explained once, and what they stand for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyperaware.errors import ConfigError
from hyperaware.terminal import Bars, note

if TYPE_CHECKING:
    from hyperaware.data.quadruplet import Row

__all__ = [
    "OF_WORLD",
    "Concepts",
    "Device",
    "Json",
    "LeaveOutBad",
    "ModelName",
    "PolicyFile",
    "Role",
    "Split",
    "World",
    "named",
    "named_rows",
    "require_own",
    "world_cache",
]

OF_WORLD = "world:"

Concepts = Annotated[
    Path | None,
    typer.Option(metavar="TOML", help="Categories and their prompts. [default: those that fit the model]"),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="HYPERAWARE_DEVICE",
        help="Where the model computes: cpu, cuda, cuda:1; auto takes a GPU if there is one.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, for machines.")]
LeaveOutBad = Annotated[
    bool,
    typer.Option(
        "--leave-out-bad",
        help="Measure on what can be used, name the rest, and end with exit code 3. [default: refuse]",
    ),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a model's folder.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", metavar="TOML", help="Another policy than the package's.")
]
Role = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who asks. [default: the policy's default role]")
]
Split = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only the rows of this split of SOURCE. [default: all]")
]
World = Annotated[
    Path | None,
    typer.Option(
        "--world",
        metavar="DIR",
        help="Where pictures drawn from the embedded world are kept. "
        "[default: $HYPERAWARE_CACHE/world or ~/.cache/hyperaware/world]",
    ),
]


def require_own(model: str) -> None:
    """Refuses a shipped model (`ConfigError`), where something is written into the model's folder."""
    from hyperaware.models.pretrained import SHIPPED

    if model in SHIPPED:
        raise ConfigError(
            f"{model!r} is shipped and stays as it was tested. Copy it (hyperaware export {model} --format "
            "hyperaware --out DIR) and give that folder."
        )


def world_cache(given: Path | None) -> Path:
    """The folder of `--world`, or its default."""
    if given is not None:
        return given
    cache = os.environ.get("HYPERAWARE_CACHE")
    return Path(cache) / "world" if cache else Path.home() / ".cache" / "hyperaware" / "world"


def named_rows(
    data: str,
    count: int | None,
    *,
    of_world: int,
    cache: Path,
    bars: Bars,
    split: str | None = None,
    failed: dict[str, str] | None = None,
) -> list["Row"]:
    """The rows of a source or of `world:SPLIT`: the first `count`, or by default all and `of_world`.

    `split`: of a source, only the rows of this split. With `failed`, what of a source cannot be used is left
    out and entered there (where to why); without, it is refused.
    """
    if not data.startswith(OF_WORLD):
        from hyperaware.data.sources import read

        return read(data, split=split, failed=failed)[:count]
    if split is not None:
        raise ConfigError(f"--split is for a source with several splits; {data} names one already.")
    from hyperaware.recipes import Slice, rows_of
    from hyperaware.world import SPLITS

    of = data.removeprefix(OF_WORLD)
    if of not in SPLITS:
        from hyperaware.options import unknown_name

        raise unknown_name("split of the world", of, SPLITS)
    return rows_of(Slice(split=of, count=of_world if count is None else count), cache, bars)


@contextmanager
def named(failed: dict[str, str]) -> Iterator[None]:
    """Names on stderr, however the block ends, what is entered in `failed` by then."""
    try:
        yield
    finally:
        for where, why in failed.items():
            note(f"failed: {where}: {why}")
