"""`hyperaware serve`: moderation, search and the page, over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.errors import ConfigError
from hyperaware.options import parse_assignments
from hyperaware.terminal import Bars, note, screen

if TYPE_CHECKING:
    from hyperaware.server.settings import Settings

__all__ = ["serve"]

DEMO = Path("demo")
"""Where `hyperaware demo` writes by default."""
LISTS = ("cors_origins", "fetch_hosts")


def serve(
    index: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The index to search. Without one: no search.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="[default: the index's own, or the shipped one]")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Another policy than the package's.")
    ] = None,
    concepts: Annotated[Path | None, typer.Option(metavar="TOML", help="Categories of your own.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Audit log, reviews and keys. [default: DIR/server of the index, or hyperaware-server]",
        ),
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option("--demo", help="Serve the demo's index, made if need be, to this machine without keys."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Address to listen at. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="0 takes a free one. [default: 8000]")] = None,
    no_auth: Annotated[
        bool | None, typer.Option("--no-auth", help="Take requests of this machine without a key.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Settings by their names, such as batch_size = 32.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting; several times. See docs."),
    ] = None,
) -> None:
    """Serve moderation, search under a policy and a page, over HTTP.

    Every setting may also be a variable HYPERAWARE_NAME, or a line of --config. Keys: `hyperaware keys add`.
    Stops on Ctrl-C when the requests in progress are answered.
    """
    flags: dict[str, Any] = {
        "index": index,
        "model": model,
        "policy": policy,
        "concepts": concepts,
        "state": state,
        "demo": demo,
        "host": host,
        "port": port,
        "no_auth": no_auth,
    }
    try:
        from hyperaware.server.settings import read_settings
    except ImportError as error:
        raise ConfigError(
            f"the server needs its extra ({error.name} is missing): pip install 'hyperaware[server]'."
        ) from error
    chosen = read_settings(flags | _assigned(settings or []), file=config)
    if chosen.demo:
        chosen = _with_demo(chosen)
    note("Loading ...")  # torch and transformers take some seconds
    from hyperaware.server.run import serve as run

    run(chosen, bound=lambda url: screen().print(f"Serving at {url}", soft_wrap=True))


def _assigned(words: list[str]) -> dict[str, Any]:
    """`--set` as flags; of lists the elements stand between commas."""
    pairs = parse_assignments(words)
    return {name: value.split(",") if name in LISTS else value for name, value in pairs.items()}


def _with_demo(chosen: "Settings") -> "Settings":
    """The settings with the demo's index and policy, where none are given; the index is made if need be."""
    from hyperaware.catalogue import FILE_NAME
    from hyperaware.server.settings import DEMO_POLICY

    index = DEMO / "index" if chosen.index is None else chosen.index
    if not (index / FILE_NAME).exists():
        if chosen.index is not None:
            raise ConfigError(f"{index} is no index. Without --index the demo makes its own.")
        from hyperaware.demo import Demo
        from hyperaware.models.pretrained import DEFAULT, load

        made = Demo(DEMO, screen(stderr=True), Bars())
        made.gallery()
        made.index(load(DEFAULT)).close()
    policy = DEMO_POLICY if chosen.policy is None else chosen.policy
    return chosen.model_copy(update={"index": index, "policy": policy})
