"""`python -m hyperaware`: the command line, where the script `hyperaware` is not on the path."""

from hyperaware.cli.app import app

app(prog_name="hyperaware")
