"""The command line as tests call it."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from hyperaware.cli.app import app

__all__ = ["document", "run"]


def run(*words: object) -> Result:
    """What `hyperaware WORDS` prints and answers, in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="hyperaware")


def document(*words: object, code: int = 0) -> Any:
    """The JSON document of `hyperaware WORDS --json`: the whole of stdout."""
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)
