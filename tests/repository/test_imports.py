"""`import hyperaware` and the CLI's help pull nothing heavy, and so answer at once."""

import os
import subprocess
import sys
import time

import pytest

HEAVY = (
    "PIL",
    "accelerate",
    "faiss",
    "matplotlib",
    "numpy",
    "peft",
    "sklearn",
    "tokenizers",
    "torch",
    "transformers",
)
ALLOWED_SECONDS = 1.5
"""Measured: 0.15 s on an idle core. Tests run beside each other on slow machines."""

REPORT = f"import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
HELP = """
import sys
sys.argv = ["hyperaware", {words}]
from hyperaware.cli import main
try:
    main()
except SystemExit:
    pass
"""


def loaded(code: str) -> str:
    """What of `HEAVY` a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", code + "\n" + REPORT]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def test_the_probe_sees_a_heavy_import() -> None:
    assert loaded("import numpy") == "['numpy']"


@pytest.mark.parametrize(
    "code",
    [
        "import hyperaware",
        "import hyperaware; hyperaware.__version__, hyperaware.errors, hyperaware.options, dir(hyperaware)",
        "import hyperaware.cli",
        HELP.format(words="'--help'"),
        HELP.format(words="'search', '--help'"),
        HELP.format(words="'--version'"),
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    assert loaded(code) == "[]"


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hyperaware", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < ALLOWED_SECONDS, f"{seconds} with a load of {os.getloadavg()[0]:.1f}"
