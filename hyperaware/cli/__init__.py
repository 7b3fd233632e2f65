"""The command line: a file for each group of verbs. No decision lives here; nothing heavy is imported."""

from hyperaware.cli.app import app

__all__ = ["main"]


def main() -> None:
    """The console script `hyperaware`."""
    app(prog_name="hyperaware")
