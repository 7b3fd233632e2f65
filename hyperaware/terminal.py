"""What the command line prints: results on stdout, everything else on stderr. Rich comes with the first."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "emit", "fail", "note", "screen", "table"]

SILENCE = 15.0
"""Seconds between two lines about unfinished work, where stderr is no terminal."""


def screen(*, stderr: bool = False) -> "Console":
    """The terminal, looked up at each call so that a test may replace the streams.

    Markup stays off: captions, paths and messages may contain brackets.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False)


def emit(document: Any) -> None:
    """Print the one JSON document of `--json` on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def note(message: str) -> None:
    """Print a line about the work, on stderr."""
    screen(stderr=True).print(message, soft_wrap=True)


def fail(message: str) -> None:
    """Print what went wrong: one red line on stderr."""
    line = "error: " + " ".join(message.splitlines())
    screen(stderr=True).print(line, style="bold red", soft_wrap=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table on stdout; columns after the first are set flush right where they hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*[], box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False)
    for index, name in enumerate(head):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        drawn.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*[Text(cell) for cell in row])
    screen().print(drawn)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "", 1).replace(",", "").lstrip("-").rstrip(" %").isdigit()


class Bars:
    """Progress bars on stderr, one for each kind of work, and a remark below them.

    A bar appears when its work begins; all of them go at the end of the `with`, which may be entered again.
    Print results after it. Where stderr is no terminal, finished bars and now and then a remark become lines,
    so that a log shows life.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._remark = ""
        self._spoken = time.monotonic()

    def __enter__(self) -> "Bars":
        return self

    def __call__(self, what: str, done: int, total: int, remark: str | None = None) -> None:
        """`done` of `total` pieces of `what` are done; `remark` stays until the next one."""
        progress = self._started()
        if what not in self._tasks:
            self._tasks[what] = progress.add_task(what, total=total)
        progress.update(self._tasks[what], completed=done, total=total)
        if remark is not None:
            self._remark = remark
        if self._live is None:
            self._speak(what, done, total)

    def of(self, what: str) -> Callable[[int, int], None]:
        """The bar of one kind of work, as a function of (done, total)."""
        return lambda done, total: self(what, done, total)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._live, self._progress, self._remark = None, None, ""
        self._tasks.clear()

    def _started(self) -> "Progress":
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._progress is None:
            text, left = TextColumn("{task.description}", markup=False), TimeRemainingColumn(compact=True)
            self._progress = Progress(text, BarColumn(bar_width=30), MofNCompleteColumn(), left)
            console = screen(stderr=True)
            if console.is_terminal:
                self._live = Live(
                    console=console, get_renderable=self._drawn, transient=True, redirect_stdout=False
                )
                self._live.start()
        return self._progress

    def _drawn(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        assert self._progress is not None, "only a started display is drawn"
        return Group(self._progress, *([Text(self._remark)] if self._remark else []))

    def _speak(self, what: str, done: int, total: int) -> None:
        if done < total and time.monotonic() - self._spoken < SILENCE:
            return
        self._spoken = time.monotonic()
        remark = "; ".join(" ".join(line.split()) for line in self._remark.splitlines())
        note(f"{what}: {done} of {total}{'. ' if remark else ''}{remark}")
