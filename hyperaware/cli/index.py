"""`hyperaware index`: folders of pictures, made searchable."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyperaware.cli.group import BAD_INPUTS, FAILED, example
from hyperaware.cli.parameters import Concepts, Device, Json
from hyperaware.errors import ConfigError, DataError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder
    from hyperaware.moderation.categories import CalibratedScorer

__all__ = ["app"]

app = typer.Typer(
    help="An index of pictures: add, categorise, remove, status, verify.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")]


@app.command(
    epilog=example(
        "hyperaware index add my-index ~/Pictures", "hyperaware index add my-index ~/Pictures --prune --json"
    )
)
def add(
    index: Index,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures, also in its sub-folders.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A shipped model or a folder. [default: the index's own model]"),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove items whose file is gone.")] = False,
    moved: Annotated[bool, typer.Option("--moved", help="The indexed folder now lies at FOLDER.")] = False,
    concepts: Concepts = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Add the pictures of FOLDER to INDEX, or bring it up to date: what has not changed is not encoded again.

    Where the model is calibrated for categories, the items get theirs, which a policy may have rules for.
    A file that cannot be read is named and counted, and never stops the run: the exit code is then 3.
    """
    from hyperaware.catalogue import open_model, start_store
    from hyperaware.index.ingest import ingest

    if not folder.is_dir():  # before an index is made
        raise DataError(f"{folder} is not a folder. Give a folder of pictures.")
    loaded = open_model(index, model, device=device)
    scorer = _scorer(loaded, concepts)
    with Bars() as bars, start_store(index, loaded) as store:

        def progress(done: int, total: int, failed: int) -> None:
            bars("index", done, total, f"{failed} failed" if failed else None)

        report = ingest(store, loaded, folder, prune=prune, moved=moved, scorer=scorer, progress=progress)
    if json:
        failed = [{"path": path, "reason": reason} for path, reason in report.failed]
        emit({"index": str(index), "model": loaded.name, "counts": report.counts(), "failed": failed})
    else:
        screen().print(str(report), soft_wrap=True)
    for path, reason in report.failed:
        note(f"failed: {path}: {reason}")
    if report.failed:
        raise typer.Exit(BAD_INPUTS)


def _scorer(model: "DualEncoder", concepts: Path | None) -> "CalibratedScorer | None":
    """What computes categories; None where the model is not calibrated for any and none are asked for."""
    from hyperaware.catalogue import own_scorer
    from hyperaware.moderation.calibration import FILE_NAME

    if concepts is None and (model.folder is None or not (model.folder / FILE_NAME).exists()):
        return None
    scorer = own_scorer(model, concepts=concepts)
    if scorer.categories:
        return scorer
    if concepts is not None:
        raise ConfigError(
            f"the model {model.name} has no calibrated probabilities of the categories of {concepts}. "
            "Calibrate it with these concepts first."
        )
    return None


@app.command(epilog=example("hyperaware index categorise my-index --concepts my-concepts.toml"))
def categorise(index: Index, concepts: Concepts = None, json: Json = False) -> None:
    """Compute the categories of the items of INDEX anew, by other concepts or for an older index.

    The stored vectors are scored; no picture is read. The exit code is 2 where the model is not calibrated.
    """
    from hyperaware.catalogue import open_model, open_store
    from hyperaware.index.categories import categorise as compute

    loaded = open_model(index)
    scorer = _scorer(loaded, concepts)
    if scorer is None:
        raise ConfigError(f"the model {loaded.name} has no calibrated probabilities of any category.")
    with open_store(index) as store:
        done = compute(store, scorer)
    if json:
        emit({"index": str(index), "categories": sorted(scorer.categories), "categorised": done})
    else:
        screen().print(f"{done} items categorised: {', '.join(sorted(scorer.categories))}", soft_wrap=True)


@app.command(epilog=example("hyperaware index remove my-index 02217a135418dee22fbd34f8a0ac23d2"))
def remove(
    index: Index,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Items, as `search --json` names them.")],
    json: Json = False,
) -> None:
    """Remove items from INDEX. From then on no search finds them; ids that it does not have are passed over.

    The files stay, and the next `index add` of their folder brings them back.
    """
    from hyperaware.catalogue import open_store

    with open_store(index) as store:
        removed = store.remove(ids)
    if json:
        emit({"index": str(index), "asked": len(ids), "removed": removed})
    else:
        screen().print(f"{removed} of {len(ids)} removed")


@app.command(epilog=example("hyperaware index status my-index"))
def status(index: Index, json: Json = False) -> None:
    """Say what INDEX holds, of which folder, and by which model."""
    from hyperaware.catalogue import open_store, read_reference

    with open_store(index) as store:
        found = store.status()
    document = {"index": str(index), "model": read_reference(index).model, **asdict(found)}
    document["root"] = None if found.root is None else str(found.root)
    if json:
        emit(document)
        return
    rows = [[key.replace("_", " "), _said(value)] for key, value in document.items()]
    table(["", ""], rows)


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


@app.command(epilog=example("hyperaware index verify my-index"))
def verify(
    index: Index,
    files: Annotated[bool, typer.Option(help="Also compare the pictures with what was indexed.")] = True,
    json: Json = False,
) -> None:
    """Look for damage in INDEX: rows, vectors, scores, and pictures that are gone or have changed.

    The exit code is 1 where something was found.
    """
    from hyperaware.catalogue import open_store

    with Bars() as bars, open_store(index) as store:
        problems, count = store.verify(files=files, progress=bars.of("compare")), store.count
    if json:
        emit({"index": str(index), "items": count, "problems": problems})
    else:
        for problem in problems:
            screen().print(problem, soft_wrap=True)
        screen().print(f"{count} items, {len(problems)} problems")
    if problems:
        raise typer.Exit(FAILED)
