"""`hyperaware export` and `hyperaware push`: models for other programs, and for the Hugging Face Hub."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.parameters import Json, ModelName
from hyperaware.errors import ConfigError
from hyperaware.terminal import emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.export.folder import Written

__all__ = ["Format", "export", "push"]


class Format(str, Enum):
    """What can be written."""

    clip = "clip"
    open_clip = "open_clip"
    onnx = "onnx"
    safetensors = "safetensors"
    hyperaware = "hyperaware"


Figures = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE.json",
        help="A record of `hyperaware evaluate --out`, for the card; may be repeated. Those that lie beside "
        "the model are taken anyway.",
    ),
]


def export(
    model: ModelName,
    format: Annotated[Format, typer.Option(help="What is to open the model.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder.")],
    figures: Figures = None,
    as_json: Json = False,
) -> None:
    """Write MODEL for another program, with a card.

    clip: a folder of transformers. open_clip: a state dict by its names. Both give the features before the
    lift. onnx: both towers with the lift, for ONNX Runtime. safetensors: one file that has all of the model.
    hyperaware: the model's own folder. The files are opened again and compared with the model; if they do
    not give what it gives, nothing is written.
    """
    from hyperaware.export.described import recorded_runs
    from hyperaware.export.folder import export as write
    from hyperaware.models.pretrained import load

    loaded = load(model)
    written = write(loaded, format=format.value, out=out, runs=recorded_runs(loaded, figures or []))
    if as_json:
        emit(_document(written))
        return
    _show(written)
    screen().print(f"\nWritten to {written.folder}", soft_wrap=True)


def push(
    model: ModelName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="hf:ORG/NAME.")],
    format: Annotated[Format, typer.Option(help="What is uploaded.")] = Format.hyperaware,
    license: Annotated[
        str | None,
        typer.Option("--license", metavar="NAME", help="The licence of the weights. [default: as recorded]"),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see a new repository. [default: private]")
    ] = False,
    figures: Figures = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the folder that is uploaded here.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder to --out and upload nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Upload MODEL to the Hugging Face Hub, with a card.

    The card is made from what was recorded about the model. The repository is made if it is not there,
    private unless --public is given; one that is there stays as it is. All files go up in one commit. The
    token is that of `hf auth login`, or HF_TOKEN.
    Weights under a non-commercial licence, and what was trained from them, keep that licence.
    """
    from hyperaware.export.described import recorded_runs
    from hyperaware.export.upload import push as upload
    from hyperaware.models.pretrained import load

    if dry_run and out is None:
        raise ConfigError("--dry-run writes a folder: name it with --out DIR.")
    loaded = load(model)
    done = upload(
        loaded,
        name,
        format=format.value,
        license=license,
        public=public,
        runs=recorded_runs(loaded, figures or []),
        out=out,
        dry_run=dry_run,
    )
    if as_json:
        facts = {"name": done.name, "license": done.license, "private": done.private}
        emit({**facts, "commit": done.commit, "url": done.url, **_document(done.written)})
        return
    _show(done.written)
    seen = "private" if done.private else "public"
    if done.url is None:
        screen().print(
            f"\nWould be uploaded to {name}, {seen} if it is new, licence {done.license}. "
            f"It lies in {done.written.folder}.",
            soft_wrap=True,
        )
    else:
        screen().print(f"\nUploaded: {done.url} (licence {done.license})", soft_wrap=True)


def _document(written: "Written") -> dict[str, Any]:
    return {
        "format": written.format,
        "folder": str(written.folder),
        "files": dict(written.files),
        "differences": dict(written.differences),
        "note": written.note,
    }


def _show(written: "Written") -> None:
    table(["file", "size"], [[name, f"{size / 1e6:,.2f} MB"] for name, size in written.files.items()])
    for modality, value in written.differences.items():
        screen().print(f"{modality}s: opened again, the largest difference is {value:.1e}", soft_wrap=True)
    if written.note is not None:
        note(f"note: {written.note.replace('**', '')}")
