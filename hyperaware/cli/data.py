"""`hyperaware data check` and `hyperaware pair`: what is wrong with data, and quadruplets from parts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hyperaware.cli.group import BAD_INPUTS, example
from hyperaware.cli.parameters import Json
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.data.pairing import Pair
    from hyperaware.data.unpaired import Captioned

__all__ = ["app", "pair"]

SHOWN = 10
"""Findings of one kind that are written out in a terminal."""
SHEET = 12

app = typer.Typer(help="Data: look for what is wrong.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Data: look for what is wrong."""


@app.command(
    epilog=example(
        "hyperaware data check my-data my-test-data",
        'hyperaware data check "visu:ViSU-Text_train.json?coco=coco&unsafe=mine" --json',
    )
)
def check(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="A folder; a .csv, .tsv, .jsonl, .json or .parquet file; visu:FILE?coco=DIR&unsafe=DIR; "
            "nsfwcaps:FILE?images=DIR&unsafe=DIR; webdataset:SHARDS; unpaired:DIR; hf:ORG/NAME; any of "
            "them with labels=FILE. Several are checked together.",
        ),
    ],
    json: Json = False,
) -> None:
    """Read every row and picture, and tell what is missing, corrupt, empty, duplicated or leaking.

    Leaking is what stands in two splits: a picture, one that looks the same, or both captions of a row. The
    exit code is 3 if a source, row or picture cannot be used, or data leak; what is only to be looked at
    does not change it. docs/data.md says what every kind of finding means.
    """
    from dataclasses import asdict

    from hyperaware.data import check as checking

    with Bars() as bars:
        found = checking.check([checking.scanned(source) for source in sources], progress=bars.of("check"))
    if json:
        emit({"sources": sources, "is_wrong": found.is_wrong, "counts": found.counts, **asdict(found)})
    else:
        table(["", "number"], [["rows", f"{found.rows}"], ["pictures", f"{found.pictures}"]])
        kinds = [
            [kind.replace("_", " "), f"{number}", "wrong" if checking.KINDS[kind] else "look at it"]
            for kind, number in found.counts.items()
        ]
        table(["finding", "number", "is"], kinds)
        balance = [[kind, name, f"{n}"] for kind, part in found.balance.items() for name, n in part.items()]
        table(["balance", "", "rows"], balance)
        for kind, number in found.counts.items():
            of_kind = [each for each in found.findings if each.kind == kind]
            for each in of_kind[:SHOWN]:
                where = "" if len(each.where) < 2 else f" ({', '.join(each.where[:4])})"
                screen().print(f"{each.kind}: {each.message}{where}", soft_wrap=True)
            if number > SHOWN:
                screen().print(f"{kind}: and {number - SHOWN:,} more; --json has all of them.")
    if found.is_wrong:
        raise typer.Exit(BAD_INPUTS)


def pair(
    safe: Annotated[Path, typer.Option(metavar="DIR", help="Safe pictures with captions.")],
    unsafe: Annotated[Path, typer.Option(metavar="DIR", help="Unsafe pictures with captions.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where captions.jsonl and the sheet go.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Whose encoder says what is near; nothing is trained.")
    ] = "world",
    by: Annotated[Literal["text", "image"], typer.Option(help="Compare captions, or pictures.")] = "text",
    floor: Annotated[float, typer.Option(help="Least cosine of a pair.", min=-1, max=1)] = 0.3,
    json: Json = False,
) -> None:
    """Build quadruplets from unpaired safe and unsafe pictures.

    Each unsafe picture gets the nearest safe one. Captions stand in NAME.txt beside each picture, or in a
    captions.jsonl or .csv with `image` and `text`.
    `train --data DIR` takes what is written; pictures stay where they are. pairs.png shows the nearest pairs
    and the last ones above the floor: look at it. The exit code is 3 if an item cannot be used; a picture
    that is in both collections is none of either.
    """
    from hyperaware.data.pairing import nearest_pairs, require_new, write_pairs
    from hyperaware.models.pretrained import load

    require_new(out)
    encoder = load(model)  # before any work: its name may be wrong
    items, failed = _usable({"safe": safe, "unsafe": unsafe})
    encode = encoder.encode_text if by == "text" else encoder.encode_image
    points = [encode([getattr(each, by) for each in items[side]]) for side in items]
    kept, refused = nearest_pairs(items["safe"], items["unsafe"], (points[0], points[1]), floor=floor)
    splits = write_pairs(kept, out)
    picture = _sheet(kept, out / "pairs.png")
    document = {
        "folder": str(out),
        "pairs": len(kept),
        "splits": splits,
        "below_floor": [{"image": str(p.unsafe.image), "similarity": p.similarity} for p in refused],
        "failed": failed,
        "sheet": str(picture),
    }
    if json:
        emit(document)
    else:
        rows = [["pairs", f"{len(kept)}"], *[[f"  {name}", f"{n}"] for name, n in splits.items()]]
        table(["", "number"], [*rows, ["below the floor", f"{len(refused)}"], ["failed", f"{len(failed)}"]])
        screen().print(f"Look at {picture}. Next: hyperaware train RECIPE --data {out}", soft_wrap=True)
    for why in failed:
        note(f"failed: {why}")
    if failed:
        raise typer.Exit(BAD_INPUTS)


def _usable(folders: dict[str, Path]) -> "tuple[dict[str, list[Captioned]], list[str]]":
    """Of each side the items whose picture and caption can be used, and what is wrong with the others."""
    from hyperaware.data.pairing import of_one_side
    from hyperaware.data.record import RowProblem
    from hyperaware.data.unpaired import captioned
    from hyperaware.errors import MediaError
    from hyperaware.media.images import decode

    failed: list[str] = []
    items: dict[str, list[Captioned]] = {}
    with Bars() as bars:
        for side, folder in folders.items():
            items[side], found = [], list(captioned(folder))
            for done, each in enumerate(found, start=1):
                bars(f"read {side}", done, len(found))
                try:
                    if isinstance(each, RowProblem):
                        raise each
                    decode(each.image)
                    items[side].append(each)
                except (RowProblem, MediaError) as error:
                    failed.append(str(error))
    items, both = of_one_side(items)
    return items, failed + [str(problem) for problem in both]


def _sheet(pairs: "list[Pair]", path: Path) -> Path:
    """A picture of the most and the least similar pairs."""
    from hyperaware.evaluation.plots import SheetRow, Shown, sheet

    half = SHEET // 2
    shown = pairs if len(pairs) <= SHEET else [*pairs[:half], *pairs[-half:]]
    rows = [
        SheetRow(
            each.unsafe.text,
            {
                "unsafe": [Shown(each.unsafe.image, False)],
                f"cosine {each.similarity:.2f}": [Shown(each.safe.image, True), Shown(each.safe.text, True)],
            },
        )
        for each in shown
    ]
    return sheet(rows, path)
