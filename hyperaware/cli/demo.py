"""`hyperaware demo`: the whole path in a minute."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from hyperaware.cli.parameters import Json, World, world_cache
from hyperaware.terminal import Bars, emit, note, screen

__all__ = ["demo"]


def demo(
    train: Annotated[
        bool, typer.Option("--train", help="First fine-tune a model, one to two minutes, and use it.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is written.")] = Path("demo"),
    world: World = None,
    json: Json = False,
) -> None:
    """See it work in a minute: draw, measure, index, search.

    Draws a gallery of 400 pictures, measures a plain and a safety-aware model on it, indexes it, searches it
    as two roles, walks from a picture to the root, and says what the model cannot do.
    """
    note("Loading ...")  # torch and transformers take some seconds
    from rich.console import Console

    from hyperaware.demo import Demo, trained

    console = Console(quiet=True) if json else screen()
    bars = Bars()
    model = trained(out, world=world_cache(world), console=console, bars=bars) if train else None
    document = Demo(out, console, bars, program=_program()).run(model)
    if json:
        emit(document)


def _program() -> str:
    """How to call this program from here: by its name, or by its path where it is not on the PATH."""
    found, path = shutil.which("hyperaware"), Path(sys.argv[0])
    if found and path.exists() and path.samefile(found):
        return "hyperaware"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
