"""`hyperaware download` and `hyperaware import`: models of others."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import example
from hyperaware.cli.parameters import Json
from hyperaware.errors import ConfigError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder
    from hyperaware.models.hub import Listing

__all__ = ["app", "download"]

app = typer.Typer(
    help="Convert a published checkpoint into a model folder. Nothing is fetched.", no_args_is_help=True
)

Out = Annotated[Path, typer.Option(metavar="DIR", help="The new model folder.")]
Weights = Annotated[Path, typer.Option(metavar="FILE", help="The file of weights.")]
TokenizerPath = Annotated[
    Path,
    typer.Option(
        "--tokenizer",
        metavar="PATH",
        help="A folder with CLIP's tokenizer (of any model of OpenAI's on the Hub), or "
        "bpe_simple_vocab_16e6.txt.gz of OpenAI's code.",
    ),
]
OtherTokenizer = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="PATH", help="Its tokenizer, if the folder has none."),
]
Accept = Annotated[
    str | None,
    typer.Option(
        "--accept-license",
        metavar="NAME",
        help="Accept the non-commercial licence NAME, after reading it.",
    ),
]
License = Annotated[
    str | None,
    typer.Option("--license", metavar="NAME", help="The licence of weights that you trained yourself."),
]


def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="hf:ORG/NAME or hf:ORG/NAME@REVISION.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit. [default: main]")] = None,
    accept_license: Accept = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and stop.")] = False,
    data: Annotated[bool, typer.Option("--data", help="NAME is a data set, not a model.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch a model or a data set from the Hugging Face Hub.

    Every file is compared with the hash that the Hub states, also those that are here already. HF_ENDPOINT
    names a mirror, HF_HUB_OFFLINE forbids the network, HF_HOME says where files are kept. Safe-CLIP and HySAC
    take their tokenizer from OpenAI's CLIP, which is then fetched too, without its weights.
    """
    from hyperaware.models import hub
    from hyperaware.models.obtain import listings, remember_accepted

    hub_name = hub.parse(name if name.startswith(hub.PREFIX) else hub.PREFIX + name, revision=revision)
    assert hub_name is not None
    hub_name = replace(hub_name, kind="dataset" if data else "model")
    wanted = listings(hub_name, accepted=accept_license)
    if not as_json:
        for each in wanted:
            _show(each)
    folders: dict[str, str] = {}
    if not dry_run:
        with Bars() as bars:
            for each in wanted:
                folders[each.name.repo] = str(hub.fetch(each, progress=partial(_step, bars)))
        remember_accepted(wanted, accepted=accept_license)
    if as_json:
        emit(
            {
                "datasets" if data else "models": [
                    _document(each) | {"folder": folders.get(each.name.repo)} for each in wanted
                ]
            }
        )
    elif not dry_run:
        following = f"hyperaware data check {hub_name}" if data else f'ha.load("{hub_name}")'
        screen().print(f"\nHere, and verified. Next: {following}", soft_wrap=True)


def _step(bars: Bars, name: str, done: int, total: int) -> None:
    bars("fetch", done, total, name)


def _show(each: "Listing") -> None:
    rows = [[file.name, f"{file.size / 1e6:,.1f} MB"] for file in each.files]
    head = f"{each.name} at {each.commit[:12]}, licence {each.licence}, {each.size / 1e6:,.1f} MB"
    table(["file", "size"], rows, title=head)


def _document(each: "Listing") -> dict[str, Any]:
    return {
        "name": str(each.name),
        "commit": each.commit,
        "licence": each.licence,
        "bytes": each.size,
        "files": {file.name: file.size for file in each.files},
    }


@app.command(
    "hysac",
    epilog=example(
        "hyperaware import hysac --weights hysac_model.pth --bounds hysac_bounds.json "
        "--backbone clip-vit-large-patch14 --out models/hysac --accept-license cc-by-nc-4.0"
    ),
)
def import_hysac(
    weights: Weights,
    bounds: Annotated[Path, typer.Option(metavar="FILE", help="hysac_bounds.json.")],
    backbone: Annotated[
        Path, typer.Option(metavar="DIR", help="The base CLIP's folder; its weights are not needed.")
    ],
    out: Out,
    accept_license: Accept = None,
    license: License = None,
    tokenizer: OtherTokenizer = None,
    as_json: Json = False,
) -> None:
    """Published HySAC: adapters merged, with bounds from the published percentiles.

    The published weights stand under cc-by-nc-4.0. The bounds are percentiles of somebody else's rows and
    promise nothing for yours: measure your own with `hyperaware bounds`.
    """
    from hyperaware.export.folder import new_folder
    from hyperaware.models.pretrained import import_hysac as convert
    from hyperaware.models.pretrained import load

    licence = _licence("aimagelab/HySAC", accept_license, license)
    with new_folder(out) as partial:
        remarks = convert(
            weights=weights,
            bounds=bounds,
            backbone=backbone,
            out=partial,
            provenance=_origin(weights, licence),
            tokenizer=tokenizer,
        )
    _report(load(out), out, remarks, as_json)


@app.command(
    "open_clip",
    epilog=example(
        "hyperaware import open_clip --weights open_clip_pytorch_model.bin --arch ViT-B-32 "
        "--tokenizer clip-vit-base-patch32 --out models/laion --license mit"
    ),
)
def import_open_clip(
    weights: Weights,
    tokenizer: TokenizerPath,
    out: Out,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Its name in open_clip, such as ViT-B-32 or ViT-B-32-quickgelu: the two differ in their "
            "activation, which no tensor shows. Not needed beside an open_clip_config.json.",
        ),
    ] = None,
    license: License = None,
    as_json: Json = False,
) -> None:
    """A state dict of open_clip with CLIP's own vision transformer (.bin, .pt, .safetensors)."""
    from hyperaware.models.licences import licence_of
    from hyperaware.models.open_clip import read_open_clip

    model = read_open_clip(weights, tokenizer=tokenizer, arch=arch)
    licence = _stated(str(weights), licence_of("", weights.parent), license)
    _save(model, out, _origin(weights, licence), as_json)


@app.command(
    "meru",
    epilog=example(
        "hyperaware import meru --weights hycoclip_vit_b.pth --tokenizer clip-vit-large-patch14 "
        "--out models/hycoclip --accept-license cc-by-nc-4.0"
    ),
)
def import_meru(
    weights: Weights,
    tokenizer: TokenizerPath,
    out: Out,
    accept_license: Accept = None,
    license: License = None,
    as_json: Json = False,
) -> None:
    """A checkpoint (.pth) of MERU, of its CLIP baseline, or of HyCoCLIP, which stand under cc-by-nc-4.0."""
    from hyperaware.models.meru_checkpoint import read_meru

    licence = _licence("facebookresearch/meru", accept_license, license)
    _save(read_meru(weights, tokenizer=tokenizer), out, _origin(weights, licence), as_json)


@app.command(
    "transformers",
    epilog=example(
        "hyperaware import transformers safeclip_vit-l_14 --tokenizer clip-vit-large-patch14 "
        "--out models/safe-clip --license cc-by-nc-4.0"
    ),
)
def import_transformers(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With config.json and weights.")],
    out: Out,
    tokenizer: OtherTokenizer = None,
    license: License = None,
    as_json: Json = False,
) -> None:
    """A folder of transformers: CLIP, Safe-CLIP, SafeR-CLIP, SigLIP, SigLIP 2 at a fixed resolution.

    Such folders can be loaded as they are; this makes one of ours, with its tokenizer in it.
    """
    from hyperaware.models.published import load_transformers

    model = load_transformers(folder, tokenizer=tokenizer)
    licence = _stated(str(folder), model.provenance["license"], license)
    _save(model, out, _origin(folder, licence), as_json)


def _licence(published: str, accepted: str | None, own: str | None) -> str:
    """The licence of weights that are those of the checkpoint `published`, or the user's own."""
    from hyperaware.models import hub
    from hyperaware.models.licences import known, require_accepted

    if own is not None:
        return own
    row = known()[published]
    require_accepted(published, row.licence, accepted=accepted, record=hub.licences_file())
    return row.licence


def _stated(what: str, stated: str, own: str | None) -> str:
    """The licence that the user names, or the one on the card; a non-commercial one on the card stays."""
    from hyperaware.models.licences import non_commercial

    if own is not None and non_commercial(stated) and own.lower() != stated:
        raise ConfigError(
            f"the card of {what} states {stated}, which forbids commercial use, not {own}. "
            "Leave out --license."
        )
    return own or stated


def _origin(source: Path, licence: str) -> dict[str, Any]:
    from hyperaware.models.published import origin

    return origin(source.name, licence)


def _save(model: "DualEncoder", out: Path, provenance: dict[str, Any], as_json: bool) -> None:
    from hyperaware.export.folder import new_folder
    from hyperaware.models.pretrained import save

    model.name, model.provenance = out.resolve().name, provenance
    with new_folder(out) as partial:
        save(model, partial)
    _report(model, out, [], as_json)


def _report(model: "DualEncoder", out: Path, remarks: list[str], as_json: bool) -> None:
    facts = {
        "model": str(out),
        "space": model.space.config(),
        "dim": model.dim,
        "image_size": model.preprocess.size,
        "fingerprint": model.fingerprint,
        "license": model.provenance["license"],
    }
    if as_json:
        emit(facts | {"remarks": remarks})
    else:
        table(["", "value"], [[name, str(value)] for name, value in facts.items()])
    for remark in remarks:
        note(f"note: {remark}")
