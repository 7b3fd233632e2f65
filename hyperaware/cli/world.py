"""`hyperaware world`: the embedded world as files."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hyperaware.cli.group import example
from hyperaware.cli.parameters import Json
from hyperaware.terminal import Bars, emit, screen

__all__ = ["app"]

app = typer.Typer(
    help="The embedded world: drawn scenes, fit for work.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=example(
        "hyperaware world export my-world --split train --count 2000",
        "hyperaware world export shifted --split test --style outline",
        "hyperaware world export my-visu --split train --count 2000 --format visu",
    )
)
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made if need be.")],
    count: Annotated[
        int, typer.Option(metavar="N", help="Rows: each is a safe scene and its unsafe twin.", min=1)
    ] = 500,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which compositions: see `hyperaware list splits`.")
    ] = "train",
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other scenes of the same split.")] = 0,
    mixed: Annotated[
        float,
        typer.Option(
            metavar="X", help="Share of rows with labels as generated data have them.", min=0, max=1
        ),
    ] = 0.0,
    size: Annotated[
        int, typer.Option(metavar="N", help="Side of the pictures in pixels, a multiple of 12.", min=12)
    ] = 96,
    style: Annotated[
        str | None, typer.Option(metavar="NAME", help="Style of drawing; by default the split's.")
    ] = None,
    form: Annotated[
        Literal["folder", "visu", "webdataset"],
        typer.Option(
            "--format",
            help="captions.jsonl, ViSU-Text with a COCO folder, or shards; of the last two, several splits "
            "may share FOLDER.",
        ),
    ] = "folder",
    json: Json = False,
) -> None:
    """Write pictures, captions.jsonl and a contact sheet into FOLDER, or the same rows in another form.

    The same command writes the same bytes, and goes on where it was interrupted. Every verb that takes data
    reads what was written, and yours in the same form.
    """
    from hyperaware.world import export, export_as

    document = {"folder": str(folder), "split": split, "rows": count}
    with Bars() as bars:
        what: dict[str, Any] = {
            "count": count,
            "split": split,
            "seed": seed,
            "mixed": mixed,
            "size": size,
            "style": style,
        }
        progress = bars.of(f"draw {split}")
        if form == "folder":
            from hyperaware.data.folder import fingerprint

            document |= {"source": str(folder)}
            document |= {"fingerprint": fingerprint(export(folder, **what, progress=progress))}
        else:
            document |= {"source": export_as(form, folder, **what, progress=progress)}
    if json:
        emit(document)
        return
    out = screen()
    out.print(f"{count} rows of {split!r}, {2 * count} pictures, in {folder}", soft_wrap=True)
    if form == "folder":
        out.print(f"Look at {folder / 'contact-sheet.png'}", soft_wrap=True)
    else:
        out.print(f'Read it by --data "{document["source"]}"', soft_wrap=True)
