"""`hyperaware edit`: the weights of a finished model, changed without training, and changed back."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import BAD_INPUTS, example
from hyperaware.cli.parameters import Json, ModelName, World, named_rows, world_cache
from hyperaware.errors import ConfigError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.editing.patch import Patch
    from hyperaware.evaluation.examples import Batch, Examples
    from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["app"]

PATCH = "patch.safetensors"
WORLD_PAIRS = 2000
BATCH = 64
"""Pairs in one forward pass. No figure depends on it."""

app = typer.Typer(
    help="Edits of a model's weights, which can be undone: uwm, apply.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder of the new model; MODEL stays as it is.")]


@app.command(
    epilog=example(
        "hyperaware edit uwm world --data world:train --out runs/world-uwm",
        "hyperaware edit uwm runs/world-uwm --revert runs/world-uwm/patch.safetensors --out runs/world-again",
    )
)
def uwm(
    model: ModelName,
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE|world:SPLIT", help="Pairs of safe and unsafe items; never test rows."),
    ] = None,
    tau: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Share of each layer's scores whose weights are flipped. [default: 0.02]"
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Pairs to draw, evenly by category. [default: all of a folder, 2000 of the world]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of that draw.")] = 0,
    patch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the patch goes. [default: DIR/patch.safetensors]"),
    ] = None,
    revert: Annotated[
        Path | None, typer.Option(metavar="PATCH", help="Undo this patch on MODEL, and choose nothing.")
    ] = None,
    world: World = None,
    json: Json = False,
) -> None:
    """Flip the sign of the few weights that unsafe items use more than their safe twins (UWM).

    Nothing is trained. DIR holds the edited model and, as a patch, which weights were flipped: a bit for each
    weight. Undone by --revert, the file of weights is the original one to the bit.
    A pair whose picture cannot be read is left out, named and counted: the exit code is then 3.
    """
    if revert is not None:
        if (data, tau, pairs, patch) != (None, None, None, None):
            raise ConfigError("--revert undoes a patch: it takes none of --data, --tau, --pairs and --patch.")
        _rewrite(model, revert, out, back=True, json=json)
        return
    if data is None:
        raise ConfigError("weights are chosen by pairs of safe and unsafe items: give --data SOURCE.")
    document, edited = _edit(
        model, out, data, world_cache(world), tau=tau, pairs=pairs, seed=seed, patch=patch
    )
    if json:
        emit(document)
    else:
        _print(document, edited)
    for failure in document["failed"]:
        note(f"failed: {failure['path']}: {failure['reason']}")
    if document["failed"]:
        raise typer.Exit(BAD_INPUTS)


@app.command(epilog=example("hyperaware edit apply world runs/world-uwm/patch.safetensors --out runs/same"))
def apply(
    model: ModelName,
    patch: Annotated[Path, typer.Argument(metavar="PATCH", help="A patch that was made for MODEL.")],
    out: Out,
    json: Json = False,
) -> None:
    """Apply a patch to the model that it was made for.

    A patch fits one model only, and is refused by any other; `edit uwm --revert` undoes it.
    """
    _rewrite(model, patch, out, back=False, json=json)


def _edit(
    name: str,
    out: Path,
    data: str,
    cache: Path,
    *,
    tau: float | None,
    pairs: int | None,
    seed: int,
    patch: Path | None,
) -> tuple[dict[str, Any], "DualEncoder"]:
    """Choose the weights, write the edited model and the patch; what is told of it, and the model."""
    from hyperaware.data.folder import fingerprint
    from hyperaware.editing.calibration import drawn
    from hyperaware.editing.folder import own_folder, save_edited
    from hyperaware.editing.uwm import UWM
    from hyperaware.evaluation.examples import Examples
    from hyperaware.models.pretrained import load

    model = load(name)
    method = UWM() if tau is None else UWM(tau=tau)
    own_folder(model, out)  # before any work
    with Bars() as bars:
        of_world = WORLD_PAIRS if pairs is None else pairs
        rows = drawn(named_rows(data, None, of_world=of_world, cache=cache, bars=bars), pairs, seed=seed)
        examples = Examples(rows, model=model, progress=bars.of("read"))
        chosen = method.patch(model, _batches(examples, bars), data=fingerprint(examples.rows))
    edited = save_edited(model, chosen, out)
    document = {
        "model": str(out),
        "patch": str(chosen.save(out / PATCH if patch is None else patch)),
        "method": method.name,
        "settings": chosen.made_by["settings"],
        "pairs": chosen.made_by["pairs"],
        "fingerprints": {"before": chosen.model_before, "after": chosen.model_after},
        "layers": _counts(chosen),
        "failed": [{"path": path, "reason": reason} for path, reason in examples.failed],
    }
    return document, edited


def _rewrite(model: str, patch: Path, out: Path, *, back: bool, json: bool) -> None:
    from hyperaware.editing.folder import save_edited
    from hyperaware.editing.patch import Patch
    from hyperaware.models.pretrained import load

    edited = save_edited(load(model), Patch.load(patch), out, back=back)
    if json:
        emit({"model": str(out), "patch": str(patch), "reverted": back, "fingerprint": edited.fingerprint})
        return
    screen().print(f"{patch} {'undone' if back else 'applied'}: the model is in {out}", soft_wrap=True)
    _remind_of_bounds(edited, out)


def _batches(examples: "Examples", bars: Bars) -> Iterator["Batch"]:
    import torch

    parts: Iterable[Any] = torch.arange(len(examples)).split(BATCH)
    done = 0
    for indices in parts:
        yield examples.batch(indices)
        done += len(indices)
        bars("score", done, len(examples))


def _counts(patch: "Patch") -> dict[str, dict[str, int]]:
    return {
        name: {"weights": patch.masks[name].numel(), "flipped": count}
        for name, count in patch.selected.items()
    }


def _print(document: dict[str, Any], edited: "DualEncoder") -> None:
    rows = []
    for encoder, pairs in document["pairs"].items():
        layers = [layer for name, layer in document["layers"].items() if f"{encoder}_model." in name]
        weights, flipped = (sum(layer[key] for layer in layers) for key in ("weights", "flipped"))
        share = f"{100 * flipped / weights:.2f} %"
        rows.append([encoder, str(pairs), str(len(layers)), f"{weights:,}", f"{flipped:,}", share])
    table(["encoder", "pairs", "layers", "weights", "flipped", "share"], rows, title="UWM")
    out = document["model"]
    screen().print(f"\nThe model is in {out}, the patch is {document['patch']}", soft_wrap=True)
    _remind_of_bounds(edited, Path(out))
    screen().print(f"Next: hyperaware evaluate {out}", soft_wrap=True)


def _remind_of_bounds(edited: "DualEncoder", out: Path) -> None:
    if edited.space.has_root:
        note(
            f"It has no bounds: those of the other weights do not hold. Measure them: hyperaware bounds {out}"
        )
