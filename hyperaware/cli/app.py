"""All verbs, put together."""

from typing import Annotated

import typer

from hyperaware.cli import demo, edit, evaluate, index, listing, search, train, world
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
app.command(
    epilog=example(
        "hyperaware train world-hysac-ordered --out runs/mine --seed 1 --set training.steps=800",
        "hyperaware train world-hysac --out runs/mine --base runs/my-clip --data my-data",
    )
)(train.train)
app.command(
    epilog=example("hyperaware bounds runs/mine --calibration my-calibration --validation my-validation")
)(train.bounds)
app.command(
    epilog=example(
        "hyperaware evaluate world world-hysac-ordered --data world:test --plots plots",
        "hyperaware evaluate runs/a-0 runs/a-1 runs/a-2 --seed-runs --data my-test --out figures.json",
    )
)(evaluate.evaluate)
app.add_typer(edit.app, name="edit")
app.add_typer(index.app, name="index")
app.command(
    epilog=example(
        'hyperaware search my-index "a rabbit in the snow"',
        "hyperaware search my-index --image rabbit.png --role researcher -k 5 --sheet found.png",
    )
)(search.search)
app.command(epilog=example("hyperaware traverse world-hysac-ordered picture.png --pool my-data"))(
    search.traverse
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
