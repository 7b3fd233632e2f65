"""docs/real-models.md, from ViSU-Text to a served model: every command of that section runs as it is written.

The base model comes from a hub on this machine that serves a small CLIP under the published name; unpaired
pictures and `picture.jpg` lie in the folder that the commands run in. Only the loop's defaults are smaller,
and the server takes a free port.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from command_line import run
from hub_server import hub_of
from huggingface_hub import constants
from published_samples import CLIP_PREPROCESSOR, tiny_clip, write_tokenizer, write_transformers

from hyperaware import recipes
from hyperaware.training.settings import Settings
from hyperaware.world import export

PAGE = Path(__file__).parents[2] / "docs" / "real-models.md"
HEAD = "## From ViSU-Text to a served model"
BASE = "openai/clip-vit-base-patch32"
SERVED = "http://127.0.0.1:8000"
"""Where the page expects the server."""


PATIENCE = 120.0
"""Seconds in which a server on a slow machine has loaded its model."""


def commands() -> list[str]:
    """The commands of the section in their order; a backslash joins the next line."""
    section = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n## ")[0]
    blocks = section.split("```console\n")[1:]
    lines = [line for block in blocks for line in block.partition("```")[0].replace("\\\n", " ").splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which every command up to the server was run, without a failure."""
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("walk")
    write_transformers(folder / "hub", tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(folder / "hub")
    for row in export(folder / "drawn", count=12, split="test", size=24):
        for side in ("safe", "unsafe"):
            (folder / f"my-{side}").mkdir(exist_ok=True)
            picture = shutil.copy(getattr(row, f"{side}_image"), folder / f"my-{side}")
            Path(picture).with_suffix(".txt").write_text(getattr(row, f"{side}_text"))
    shutil.copy(row.safe_image, folder / "picture.jpg")  # a PNG inside: the content decides, not the name
    with pytest.MonkeyPatch.context() as patch, hub_of({BASE: folder / "hub"}) as hub:
        patch.chdir(folder)
        patch.setenv("HYPERAWARE_CACHE", str(folder / "cache"))
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hf"))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        small = partial(Settings, steps=4, batch_size=8, evaluate_every=2)
        patch.setattr(recipes, "Settings", small)
        for command in commands():
            words = shlex.split(command)
            if words[:2] == ["hyperaware", "serve"] or words[0] == "curl":
                continue
            assert words[0] == "hyperaware"
            result = run(*words[1:])
            assert result.exit_code == 0, f"{command}\n{result.output}"
        yield folder


def test_the_page_walks_the_whole_way() -> None:
    verbs = [shlex.split(command)[1] for command in commands() if command.startswith("hyperaware ")]
    wanted = ["download", "world", "data", "pair", "train", "bounds", "calibrate", "evaluate", "index"]
    assert list(dict.fromkeys(verbs)) == [*wanted, "search", "moderate", "serve"]


def test_what_the_commands_leave_behind(walked: Path) -> None:
    made = walked / "models" / "mine"
    assert {"model.safetensors", "bounds.json", "calibration.json", "log.jsonl"} <= set(os.listdir(made))
    assert json.loads((made / "config.json").read_text())["provenance"]["base"] == f"hf:{BASE}"
    assert (walked / "paired" / "captions.jsonl").is_file()
    assert (walked / "found" / "model.json").is_file()


def test_the_server_starts_and_answers(walked: Path) -> None:
    serve, ask = ([c for c in commands() if name in shlex.split(c)[:2]] for name in ("serve", "curl"))
    assert (len(serve), len(ask)) == (1, 1)
    words = [sys.executable, "-m", "hyperaware.cli", *shlex.split(serve[0])[1:]]
    environment = {**os.environ, "HYPERAWARE_PORT": "0", "HYPERAWARE_CACHE": str(walked / "cache")}
    process = subprocess.Popen(
        words, cwd=walked, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving at http://127.0.0.1:"), process.communicate()
        answer = asked(ask[0], at=line.removeprefix("Serving at ").strip())
        assert answer["results"][0]["flagged"] in (True, False)
        assert answer["results"][0]["category_scores"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def asked(curl: str, *, at: str) -> dict:
    """What the request that curl is told to make gets from the running server, once its model is loaded."""
    words = shlex.split(curl)
    url = next(word for word in words if word.startswith(SERVED))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode()
    request = urllib.request.Request(url.replace(SERVED, at), body, headers)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
