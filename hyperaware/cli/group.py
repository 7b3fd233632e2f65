"""The group of all verbs: errors become one line and an exit code, here and nowhere else.

0   fine
1   failed
2   wrong use: an option, a name or a setting
3   finished, but some inputs were bad
4   finished, and what was checked has changed
5   stopped by the floor of a run; the best before it is kept
130 interrupted
"""

from typing import Any

import typer
from typer.core import TyperGroup

from hyperaware.errors import ConfigError, HyperawareError
from hyperaware.terminal import fail, note

__all__ = ["BAD_INPUTS", "BELOW_FLOOR", "DRIFTED", "FAILED", "Verbs", "example"]

FAILED, WRONG_USE, BAD_INPUTS, DRIFTED, BELOW_FLOOR, INTERRUPTED = 1, 2, 3, 4, 5, 130

GO_ON = {
    "world": "The pictures that were written stay: the same command goes on from there.",
    "train": "The same command goes on from the last checkpoint, if there was one yet.",
    "compare": "Finished models stay: the same command goes on from the last checkpoints.",
    "index": "Every batch that was finished is in the index: the same command goes on from there.",
    "download": "Files that were fetched stay: the same command goes on from there.",
    "demo": "What was written stays: the same command goes on from there.",
}


class Verbs(TyperGroup):
    """Turns what a verb raises into a line on stderr and an exit code; the unforeseen keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HyperawareError as error:
            fail(str(error))
            raise typer.Exit(WRONG_USE if isinstance(error, ConfigError) else FAILED) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.")
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            note(f"Interrupted. {GO_ON.get(ctx.invoked_subcommand or '', 'Nothing was changed.')}")
            raise typer.Exit(INTERRUPTED) from error


def example(*commands: str) -> str:
    """The examples at the end of a verb's help; the backspace keeps its lines from being filled."""
    head = "Example:" if len(commands) == 1 else "Examples:"
    return "\b\n" + "\n".join([head, *(f"  {command}" for command in commands)])
