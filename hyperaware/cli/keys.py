"""`hyperaware keys`: who may ask the server, in which role, for what."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import example
from hyperaware.cli.parameters import Json
from hyperaware.terminal import emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.records.keys import Key

__all__ = ["app"]

app = typer.Typer(
    help="API keys of the server: add, list, revoke.", no_args_is_help=True, rich_markup_mode=None
)

Ring = Annotated[Path, typer.Argument(metavar="KEYS", help="The file of keys, keys.json say.")]


@app.command(
    epilog=example(
        'hyperaware keys add keys.json --role viewer --name "web shop"',
        "hyperaware keys add keys.json --role reviewer --name Ada --scope review --days 90",
    )
)
def add(
    keys: Ring,
    role: Annotated[str, typer.Option(metavar="NAME", help="A role of the server's policy.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Whose key it is, for people.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE",
            help="search, moderate, review or admin; several times. [default: search and moderate]",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=36500, help="How long it is valid. [default: until it is revoked]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Add a key to KEYS (made if need be) and print its token, this once: the file has only its hash."""
    from hyperaware.records.keys import DEFAULT_SCOPES, KeyRing

    expires = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
    ring = KeyRing.read(keys, create=True)
    key, token = ring.create(role, name, scopes=scope or DEFAULT_SCOPES, expires=expires)
    if json:
        emit({**_document(key), "token": token})
        return
    note(f"{key.id}: role {key.role}, {', '.join(key.scopes)}. The token is shown this once:")
    screen().print(token, soft_wrap=True)


@app.command("list", epilog=example("hyperaware keys list keys.json"))
def show(keys: Ring, json: Json = False) -> None:
    """List the keys in KEYS, revoked and expired ones too, without their tokens."""
    from hyperaware.records.keys import KeyRing

    found = KeyRing.read(keys).keys
    if json:
        emit({"keys": [_document(key) for key in found]})
        return
    rows = [
        [key.id, key.name, key.role, ", ".join(key.scopes), _day(key.created), _state(key)] for key in found
    ]
    table(["id", "name", "role", "scopes", "created", "state"], rows)


@app.command(epilog=example("hyperaware keys revoke keys.json key-fe240f9a33c3"))
def revoke(
    keys: Ring,
    id: Annotated[str, typer.Argument(metavar="ID", help="The key, as `keys list` names it.")],
    json: Json = False,
) -> None:
    """Revoke a key for good. A running server refuses it from its next request on."""
    from hyperaware.records.keys import KeyRing

    key = KeyRing.read(keys).revoke(id)
    if json:
        emit(_document(key))
    else:
        screen().print(f"{key.id} ({key.name}) is revoked")


def _document(key: "Key") -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "scopes": list(key.scopes),
        **{name: None if at is None else at.isoformat(timespec="seconds") for name, at in times.items()},
        "state": _state(key),
    }


def _state(key: "Key") -> str:
    if key.revoked is not None:
        return f"revoked {_day(key.revoked)}"
    if key.expires is None:
        return "valid"
    is_valid = key.is_valid(datetime.now(timezone.utc))
    return f"valid until {_day(key.expires)}" if is_valid else f"expired {_day(key.expires)}"


def _day(at: datetime) -> str:
    return at.date().isoformat()
