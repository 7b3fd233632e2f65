"""`hyperaware audit`: the log of decisions, verified, shown, and told to whom it concerns."""

from collections import deque
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import FAILED, example
from hyperaware.cli.parameters import Json
from hyperaware.terminal import emit, screen, table

if TYPE_CHECKING:
    from hyperaware.records.chain import Record

__all__ = ["Format", "app"]

app = typer.Typer(
    help="The audit log: verify it, show it, export a decision.", no_args_is_help=True, rich_markup_mode=None
)

Log = Annotated[
    Path, typer.Argument(metavar="PATH", help="The first file of the log, as the server names it.")
]


class Format(str, Enum):
    """How a decision is exported."""

    json = "json"
    markdown = "markdown"


@app.command(
    epilog=example(
        "hyperaware audit verify audit.jsonl", "hyperaware audit verify audit.jsonl --expect-head 7:b7f5..."
    )
)
def verify(
    path: Log,
    expect_head: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH", help="A head from earlier, kept elsewhere: the log must contain it."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Look for records of PATH that were changed, removed, inserted or moved, and print the log's head.

    Keep the head somewhere else: only against it can one see that the end was cut off, or the log written
    anew. The exit code is 1 where something was found.
    """
    from hyperaware.records.chain import examine

    found = examine(path, expect_head=expect_head)
    if json:
        emit({"path": str(path), "records": found.records, "head": found.head, "problems": found.problems})
    else:
        for problem in found.problems:
            screen().print(problem, soft_wrap=True)
        screen().print(f"{found.records} records, {len(found.problems)} problems")
        screen().print(f"head {found.head or '-'}", soft_wrap=True)
    if found.problems:
        raise typer.Exit(FAILED)


@app.command(
    epilog=example(
        "hyperaware audit show audit.jsonl --tail 20",
        "hyperaware audit show audit.jsonl --event review --json",
    )
)
def show(
    path: Log,
    event: Annotated[str | None, typer.Option(metavar="NAME", help="Only records of this event.")] = None,
    tail: Annotated[int | None, typer.Option(min=1, help="Only the last N of them. [default: all]")] = None,
    json: Json = False,
) -> None:
    """Show the records of PATH, each checked as it is read."""
    from hyperaware.records.chain import records
    from hyperaware.records.statement import printable

    chosen: Iterable[Record] = (each for each in records(path) if event in (None, each.event))
    chosen = list(chosen if tail is None else deque(chosen, maxlen=tail))
    if json:
        emit({"path": str(path), "records": [record.document() for record in chosen]})
        return
    rows = [[str(each.seq), each.time, each.event, printable(_said(each.fields))] for each in chosen]
    table(["seq", "time", "event", "fields"], rows)


def _said(fields: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value not in (None, {}))


@app.command(
    epilog=example(
        "hyperaware audit export audit.jsonl --request-id req-1",
        "hyperaware audit export audit.jsonl --request-id req-1 --format markdown",
    )
)
def export(
    path: Log,
    request_id: Annotated[str, typer.Option(metavar="ID", help="The decision, as the answer named it.")],
    format: Annotated[Format, typer.Option(help="json or markdown.")] = Format.json,
    redress: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What the person can do, in your words. [default: a general text]"),
    ] = None,
) -> None:
    """Print the statement of reasons on one decision: what, on what, why, automated or not, and redress.

    Later reviews and appeals are in it; the content and the names of reviewers are not.
    """
    from hyperaware.records.statement import REDRESS, statement

    told = statement(path, request_id, redress=REDRESS if redress is None else redress)
    if format is Format.json:
        emit(told.document())
    else:
        typer.echo(told.markdown(), nl=False)
