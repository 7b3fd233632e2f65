"""All verbs, put together."""

from typing import Annotated

import typer

from hyperaware.cli import (
    audit,
    calibrate,
    compare,
    data,
    demo,
    edit,
    evaluate,
    export,
    index,
    keys,
    listing,
    models,
    moderate,
    policy,
    search,
    serve,
    train,
    world,
)
from hyperaware.cli.group import Verbs, example

__all__ = ["app"]

app = typer.Typer(
    cls=Verbs,
    help="Safety-aware vision-language models: train them, measure them, search with them.",
    epilog=example("hyperaware demo"),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

app.command(epilog=example("hyperaware demo", "hyperaware demo --train --out my-demo"))(demo.demo)
app.add_typer(world.app, name="world")
app.add_typer(data.app, name="data")
app.command(epilog=example("hyperaware pair --safe my-safe --unsafe my-unsafe --out my-data"))(data.pair)
app.command(
    epilog=example(
        "hyperaware train world-hysac-ordered --out runs/mine --seed 1 --set training.steps=800",
        "hyperaware train world-hysac --out runs/mine --base runs/my-clip --data my-data",
        "hyperaware train hysac --out runs/mine --base hf:openai/clip-vit-base-patch32 --data my-data",
    )
)(train.train)
app.command(
    epilog=example("hyperaware bounds runs/mine --calibration my-calibration --validation my-validation")
)(train.bounds)
app.command(
    epilog=example(
        "hyperaware calibrate runs/mine --data my-calibration --false-positive-rate 0.02",
        "hyperaware calibrate world-hysac-ordered --check --data new-safe-rows",
    )
)(calibrate.calibrate)
app.command(
    epilog=example(
        "hyperaware evaluate world world-hysac-ordered --data world:test --plots plots",
        "hyperaware evaluate runs/a-0 runs/a-1 runs/a-2 --seed-runs --data my-test --out figures.json",
    )
)(evaluate.evaluate)
app.command(
    epilog=example(
        "hyperaware compare --seeds 1 --steps 200 --studies none --out runs/quick",
        "hyperaware compare --methods clip,hysac,my-recipe.toml --data my-data --out runs/mine",
        "hyperaware compare runs/quick runs/mine",
    )
)(compare.compare)
app.add_typer(edit.app, name="edit")
app.add_typer(index.app, name="index")
app.command(
    epilog=example(
        'hyperaware search my-index "a rabbit with a blue cup in the snow"',
        "hyperaware search my-index --image rabbit.png --role researcher -k 5 --sheet found.png",
    )
)(search.search)
app.command(epilog=example("hyperaware traverse world-hysac-ordered picture.png --pool my-data"))(
    search.traverse
)
app.command(
    epilog=example(
        'hyperaware moderate world-hysac-ordered --text "a deadly axe" --image picture.png',
        "hyperaware moderate world-hysac-ordered --jsonl items.jsonl --json",
    )
)(moderate.moderate)
app.command(
    epilog=example("hyperaware explain world-hysac-ordered --image picture.png --pool my-data --out map.png")
)(moderate.explain)
app.command(
    epilog=example(
        "hyperaware serve --demo",
        "hyperaware serve --index my-index --policy policy.toml --host 0.0.0.0 --port 8080",
    )
)(serve.serve)
app.add_typer(policy.app, name="policy")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.command(
    epilog=example(
        "hyperaware download hf:openai/clip-vit-base-patch32",
        "hyperaware download hf:aimagelab/HySAC --accept-license cc-by-nc-4.0",
    )
)(models.download)
app.add_typer(models.app, name="import")
app.command(
    epilog=example(
        "hyperaware export world --format clip --out my-clip",
        "hyperaware export world-hysac-ordered --format onnx --out my-onnx",
    )
)(export.export)
app.command(epilog=example("hyperaware push runs/mine hf:my-name/my-model --dry-run --out my-model"))(
    export.push
)
app.command("list", epilog=example("hyperaware list models"))(listing.show)


def _show_version(wanted: bool) -> None:
    if wanted:
        import hyperaware

        typer.echo(f"hyperaware {hyperaware.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Safety-aware vision-language models: train them, measure them, search with them."""
