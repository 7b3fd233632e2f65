"""`hyperaware search` and `traverse`: what a query finds, and what lies between a picture and the root."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.parameters import Concepts, Json, ModelName, PolicyFile, Role
from hyperaware.errors import ConfigError, DataError
from hyperaware.terminal import emit, screen, table

if TYPE_CHECKING:
    from hyperaware.search import Answer, Found, Searcher

__all__ = ["search", "traverse"]

BLURRED = "(blurred)"
"""What stands in a terminal or on a sheet for a caption or picture that is to be blurred."""


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")],
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to look for.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A picture to look for instead.")] = None,
    role: Role = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many answers.", min=1)] = 10,
    offset: Annotated[
        int, typer.Option(metavar="N", help="How many of the nearest to leave out.", min=0)
    ] = 0,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Only items in or below this folder of the index.")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="How far an unsafe query moves: no less than the role's rule.", min=0, max=1
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Also draw the answers as thumbnails.")
    ] = None,
    policy: PolicyFile = None,
    concepts: Concepts = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Where the model is now, if its folder was moved.")
    ] = None,
    json: Json = False,
) -> None:
    """Search INDEX by a text or a picture, under a policy.

    Every answer says how the query was judged, with the number and the bound, and whether it was redirected.
    """
    if (text is None) == (image is None):
        raise ConfigError('a search needs either a text or --image FILE: hyperaware search INDEX "a rabbit".')
    from hyperaware.catalogue import open_searcher
    from hyperaware.moderation.policy import Policy
    from hyperaware.search import Filters

    rules = None if policy is None else Policy.read(policy)
    searcher = open_searcher(index, model=model, policy=rules, concepts=concepts)
    with closing(searcher.store):
        answer = searcher.search(
            text,
            image=image,
            role=role,
            k=k,
            offset=offset,
            filters=Filters(folder=folder),
            strength=strength,
        )
        if sheet is not None:
            _draw(answer, searcher, sheet)
        if json:
            emit(document(answer, searcher))
        else:
            _print(answer, searcher)
    if sheet is not None and not json:
        screen().print(f"\nThumbnails: {sheet}", soft_wrap=True)


def document(answer: "Answer", searcher: "Searcher") -> dict[str, Any]:
    """An answer as it is printed by `--json`."""
    whole = asdict(answer)
    whole["hits"] = [{**hit._asdict(), "file": _file(hit, searcher)} for hit in answer.hits]
    whole["steps"] = [step._asdict() for step in answer.steps]
    return whole


def _file(hit: "Found", searcher: "Searcher") -> str:
    root = searcher.store.root
    return hit.path if root is None else str(root / hit.path)


def _print(answer: "Answer", searcher: "Searcher") -> None:
    out = screen()
    for step in answer.steps:
        out.print(f"{step.name:>9}  {step.sentence}", soft_wrap=True)
    if answer.verdict.message is not None:
        out.print(f"\n{answer.verdict.message}", style="bold", markup=False, soft_wrap=True)
    held = {"block": "Blocked: nothing was searched.", "review": "To be reviewed: nothing was searched."}
    if answer.verdict.action in held:
        out.print(f"\n{held[answer.verdict.action]}", style="bold red")
        return
    rows = [
        [
            str(rank),
            hit.path,
            BLURRED if hit.blurred else hit.caption or "",
            f"{hit.similarity:.3f}",
            "-" if hit.score is None else f"{hit.score:.3f}",
        ]
        for rank, hit in enumerate(answer.hits, start=answer.offset + 1)
    ]
    out.print()
    table(["", "path", "caption", "similarity", "root distance"], rows)
    if answer.more:
        out.print(f"More: --offset {answer.offset + len(answer.hits)}")


def _draw(answer: "Answer", searcher: "Searcher", path: Path) -> None:
    from hyperaware.evaluation.plots import SheetRow, Shown, sheet

    limit = None if searcher.bounds is None else searcher.bounds.limit[answer.target]
    shown = []
    for hit in answer.hits:
        safe = None if hit.score is None or limit is None else hit.score <= limit
        shown.append(Shown(BLURRED if hit.blurred else _picture(_file(hit, searcher)), safe))
    query = answer.query if answer.modality == "text" else _picture(answer.query)
    sheet([SheetRow(query, {answer.role: shown})], path)


def _picture(file: str) -> Path | str:
    """The file, or words in its place where it is gone or damaged: the other answers are drawn anyway."""
    from hyperaware.errors import MediaError
    from hyperaware.media.images import decode

    try:
        decode(file)
    except MediaError as error:
        return f"{error.reason}: {file}"
    return Path(file)


def traverse(
    model: ModelName,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Where the way begins.")],
    pool: Annotated[
        Path,
        typer.Option(
            metavar="SOURCE|FILE.txt",
            help="The captions that are told on the way: of data (see `hyperaware data check -h`), or one in "
            "each line.",
        ),
    ],
    steps: Annotated[int, typer.Option(metavar="N", help="Points on the way.", min=2)] = 50,
    json: Json = False,
) -> None:
    """Walk from PICTURE to the root, and tell the captions passed.

    At each point stands the nearest caption whose cone contains it: from the special to the general.
    """
    from hyperaware.models.pretrained import load
    from hyperaware.traverse import captions_to_root

    told = captions(pool)
    loaded = load(model)
    if not loaded.space.has_root:
        raise ConfigError(f"the model {model} lies on a sphere, which has no root to walk to.")
    stops = captions_to_root(
        loaded.encode_image(picture)[0],
        texts=loaded.encode_text(told),
        captions=told,
        space=loaded.space,
        steps=steps,
    )
    if json:
        emit({"model": loaded.name, "picture": str(picture), "stops": [asdict(stop) for stop in stops]})
        return
    table(["caption", "from root distance"], [[stop.caption, f"{stop.root_distance:.3f}"] for stop in stops])


def captions(pool: str | Path) -> list[str]:
    """The distinct captions of a source of data, or of a file with one in each line."""
    from hyperaware.data.table import SUFFIXES

    path = Path(pool)
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        try:
            texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except UnicodeDecodeError as error:
            raise DataError(f"{pool} is not UTF-8 text ({error}).") from error
    else:
        from hyperaware.data.sources import read

        texts = [text for row in read(pool) for text in (row.safe_text, row.unsafe_text)]
    found = list(dict.fromkeys(text for text in texts if text))
    if not found:
        raise DataError(f"{pool} has no captions.")
    return found
