"""Models from a hub on this machine: listed, fetched when asked for, verified, and then used offline."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import document, run
from hub_server import Hub, hub_of
from huggingface_hub import constants
from published_samples import (
    BOUNDS,
    CLIP_PREPROCESSOR,
    SCALARS,
    hysac_state,
    tiny_clip,
    write_tokenizer,
    write_transformers,
)
from safetensors.torch import load_file, save_file

from hyperaware.catalogue import own_bounds
from hyperaware.errors import ConfigError
from hyperaware.export.folder import export
from hyperaware.models import pretrained
from hyperaware.models.pretrained import load

BASE, HYSAC, SAFE, OTHER = (
    "openai/clip-vit-large-patch14",
    "aimagelab/HySAC",
    "aimagelab/safeclip_vit-l_14",
    "somebody/clip-nc",
)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models in the published layouts, under the published names."""
    root = tmp_path_factory.mktemp("hub")
    folders = {name: root / name.replace("/", "--") for name in (BASE, HYSAC, SAFE, OTHER)}
    for name in (BASE, SAFE, OTHER):
        seed = len(name)
        write_transformers(folders[name], tiny_clip(seed=seed), preprocessor=CLIP_PREPROCESSOR)
    for name in (BASE, OTHER):
        write_tokenizer(folders[name])
    folders[HYSAC].mkdir()
    torch.save(hysac_state(tiny_clip(seed=len(BASE))), folders[HYSAC] / "hysac_model.pth")
    (folders[HYSAC] / "hysac_bounds.json").write_text(json.dumps(BOUNDS))
    (folders[HYSAC] / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (folders[OTHER] / "training_log.txt").write_text("not needed")
    return folders


@pytest.fixture
def hub(repositories: dict[str, Path]) -> Iterator[Hub]:
    with hub_of(repositories) as running:
        running.card[OTHER] = {"license": "cc-by-nc-4.0"}
        yield running


@pytest.fixture
def machine(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a machine with empty caches, whose only hub is ours."""
    at(hub.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "hyperaware"))
    return tmp_path


def at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client makes of HF_ENDPOINT when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def fetched(hub: Hub) -> list[str]:
    return [path for path in hub.asked if "resolve" in path]


def test_a_dry_run_says_what_would_be_fetched_and_fetches_nothing(machine: Path, hub: Hub) -> None:
    (model,) = document("download", f"hf:{BASE}", "--dry-run")["models"]
    assert set(model["files"]) == {
        *("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"),
    }
    assert (
        model["files"]["model.safetensors"] == (hub.repositories[BASE] / "model.safetensors").stat().st_size
    )
    assert model["licence"] == "mit"
    assert model["commit"] == hub.commit(BASE)
    assert fetched(hub) == []


def test_a_mirror_is_asked_where_hf_endpoint_names_one(machine: Path, hub: Hub) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS"))}
    caches = {"HF_HOME": str(machine / "home"), "HYPERAWARE_CACHE": str(machine)}
    words = ["download", SAFE, "--accept-license", "cc-by-nc-4.0", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hyperaware.cli", *words],
        env={**kept, **caches, "HF_ENDPOINT": hub.url},
        capture_output=True,
        text=True,
        check=True,
    )
    (safe, base) = json.loads(done.stdout)["models"]
    assert (Path(safe["folder"]) / "model.safetensors").is_file()
    assert Path(base["folder"]).is_relative_to(machine / "home")
    assert not (Path(base["folder"]) / "model.safetensors").exists()


def test_fetched_and_verified_it_loads_without_a_network(
    machine: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=f"hf:{BASE} is not on this machine.*hyperaware download hf:{BASE}"):
        load(f"hf:{BASE}")
    assert hub.asked == []
    done = run("download", BASE)
    assert done.exit_code == 0, done.stderr
    assert "model.safetensors" in done.stdout
    assert "verified" in done.stdout
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    model = load(f"hf:{BASE}")
    assert (model.name, model.provenance["license"]) == (BASE, "mit")
    assert model.fingerprint == load(hub.repositories[BASE]).fingerprint
    assert model.folder is not None
    assert load(model.folder).fingerprint == model.fingerprint  # as an index refers to it
    listed = document("list", "models")["models"]
    assert listed[f"hf:{BASE}"].endswith("licence mit; on this machine")
    assert listed[f"hf:{SAFE}"].endswith("licence cc-by-nc-4.0; not on this machine")
    assert len(hub.asked) == asked


def test_other_clip_models_in_the_cache_are_listed(machine: Path, hub: Hub) -> None:
    assert run("download", OTHER, "--accept-license", "cc-by-nc-4.0").exit_code == 0
    assert document("list", "models")["models"][f"hf:{OTHER}"].endswith("on this machine")


def test_our_own_models_in_the_cache_are_listed(machine: Path, hub: Hub, tmp_path: Path) -> None:
    """As `push` uploads them: the format of hyperaware, and a plain folder of transformers."""
    own = load("world-hysac-ordered")
    for format in ("hyperaware", "clip", "onnx"):
        name = f"my-name/my-{format}"
        if format == "onnx":  # a graph is no model that `load` opens
            (tmp_path / format).mkdir()
            (tmp_path / format / "text.onnx").write_bytes(b"graph")
        else:
            export(own, format=format, out=tmp_path / format)
        hub.repositories = {**hub.repositories, name: tmp_path / format}
        hub.card[name] = {"license": "apache-2.0"}
        assert run("download", name).exit_code == (1 if format == "onnx" else 0)
    listed = document("list", "models")["models"]
    method = own.provenance["method"]
    expected = f"from the Hub, of hyperaware, in Lorentz space: {method}; licence apache-2.0; on this machine"
    assert listed["hf:my-name/my-hyperaware"] == expected
    assert listed["hf:my-name/my-clip"] == "from the Hub; licence apache-2.0; on this machine"
    assert "hf:my-name/my-onnx" not in listed
    assert load("hf:my-name/my-hyperaware").fingerprint == own.fingerprint


def test_what_is_here_at_a_commit_only_is_listed_by_it(machine: Path, hub: Hub) -> None:
    name = f"hf:{BASE}@{hub.commit(BASE)}"
    assert run("download", name).exit_code == 0
    listed = document("list", "models")["models"]
    assert listed[name].endswith("licence mit; on this machine")
    assert f"hf:{BASE}" not in listed
    assert load(name).name == BASE


def test_a_download_that_was_broken_off_is_not_here(machine: Path, hub: Hub) -> None:
    """Every file that a model needs must be here, whichever of them came first."""
    sharded = machine / "sharded"
    shutil.copytree(hub.repositories[BASE], sharded)
    weights = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    shard = "model-00001-of-00001.safetensors"
    save_file(weights, sharded / shard, metadata={"format": "pt"})
    index = {"weight_map": dict.fromkeys(weights, shard)}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    hub.repositories = {**hub.repositories, BASE: sharded}
    for repo, broken in ((BASE, shard), (HYSAC, "hysac_model.pth"), (HYSAC, "hysac_bounds.json")):
        hub.spoiled = {broken}
        words = ["--accept-license", "cc-by-nc-4.0"] if repo == HYSAC else []
        assert run("download", repo, *words).exit_code == 1
        assert document("list", "models")["models"][f"hf:{repo}"].endswith("not on this machine")
        with pytest.raises(ConfigError, match="is not on this machine"):
            load(f"hf:{repo}")
    hub.spoiled = set()
    assert run("download", BASE).exit_code == 0
    assert load(f"hf:{BASE}").dim == 16


def test_the_steps_for_pictures_are_fetched_where_transformers_5_writes_them(machine: Path, hub: Hub) -> None:
    newer = machine / "newer"
    shutil.copytree(hub.repositories[BASE], newer)
    steps = json.loads((newer / "preprocessor_config.json").read_text())
    (newer / "preprocessor_config.json").unlink()
    nested = {"image_processor": {**steps, "image_std": [0.5, 0.5, 0.5]}}
    (newer / "processor_config.json").write_text(json.dumps(nested))
    hub.repositories = {**hub.repositories, BASE: newer}
    assert run("download", BASE).exit_code == 0
    assert load(f"hf:{BASE}").preprocess.std == (0.5, 0.5, 0.5)


def test_a_list_of_licences_is_as_strict_as_its_strictest(machine: Path, hub: Hub) -> None:
    hub.card[OTHER] = {"license": ["mit", "cc-by-nc-4.0"]}
    done = run("download", OTHER)
    assert done.exit_code == 2
    assert "--accept-license cc-by-nc-4.0" in done.stderr
    assert run("download", OTHER, "--accept-license", "cc-by-nc-4.0").exit_code == 0


def test_hysac_is_converted_once_and_can_judge(
    machine: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("download", f"hf:{HYSAC}")
    assert refused.exit_code == 2
    assert "--accept-license cc-by-nc-4.0" in refused.stderr
    assert run("download", f"hf:{HYSAC}", "--accept-license", "mit").exit_code == 2
    with pytest.raises(ConfigError, match="forbids commercial use"):
        load(f"hf:{HYSAC}", download=True)
    assert hub.asked == []  # not even asked

    model = load(f"hf:{HYSAC}", download=True, accept_license="cc-by-nc-4.0")
    assert (model.name, model.provenance["license"]) == (HYSAC, "cc-by-nc-4.0")
    bounds = own_bounds(model)
    assert bounds is not None
    assert bounds.split == "published"
    assert [path for path in fetched(hub) if "safetensors" in path] == []  # of the base, no weights
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(pretrained, "read_hysac", None)  # nothing is converted again
    assert load(f"hf:{HYSAC}").fingerprint == model.fingerprint  # the acceptance was kept


def test_implausible_hysac_weights_are_loaded_with_a_warning(machine: Path, hub: Hub, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(hub.repositories[HYSAC], strange)
    state = hysac_state(tiny_clip(seed=len(BASE)), scalars={**SCALARS, "curv": 2.3026})
    torch.save(state, strange / "hysac_model.pth")
    hub.repositories = {**hub.repositories, HYSAC: strange}
    for download in (True, False):  # each time, not only when it is converted
        with pytest.warns(UserWarning, match="its logarithm lost its sign"):
            load(f"hf:{HYSAC}", download=download, accept_license="cc-by-nc-4.0")


def test_safe_clip_takes_its_tokenizer_from_its_base(machine: Path, hub: Hub) -> None:
    found = document("download", SAFE, "--accept-license", "cc-by-nc-4.0")["models"]
    assert [model["name"] for model in found] == [f"hf:{SAFE}", f"hf:{BASE}"]
    assert load(f"hf:{SAFE}").encode_text(["a rabbit"]).shape == (1, 16)
    with pytest.raises(ConfigError, match="is not on this machine"):
        load(f"hf:{BASE}")  # its settings are, its weights are not


def test_a_licence_that_only_the_hub_knows_is_asked_for_too(machine: Path, hub: Hub) -> None:
    done = run("download", OTHER)
    assert done.exit_code == 2
    assert "stands under cc-by-nc-4.0, which forbids commercial use" in done.stderr
    assert fetched(hub) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody/nothing"], "has no model 'nobody/nothing'"),
        ([f"{BASE}@v9"], "no such revision"),
        ([BASE, "--revision", "v9"], "no such revision"),
        (["no-slash"], "expected hf:ORG/NAME"),
        (["facebookresearch/meru"], "no single model but files"),
    ],
    ids=["unknown", "revision", "revision option", "name", "to import"],
)
def test_what_cannot_be_fetched_says_why(words: list[str], message: str, machine: Path) -> None:
    done = run("download", *words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_offline_is_offline(machine: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = run("download", BASE)
    assert done.exit_code == 2
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert hub.asked == []


def test_a_gated_model_says_where_to_ask(machine: Path, hub: Hub) -> None:
    hub.gated.add(BASE)
    done = run("download", BASE)
    assert done.exit_code == 1
    assert "given on request only" in done.stderr


def test_a_hub_that_cannot_be_reached_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at("http://127.0.0.1:1", monkeypatch)
    done = run("download", BASE)
    assert done.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in done.stderr


def test_a_full_disk_is_not_taken_for_the_network(machine: Path, hub: Hub) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        done = run("download", BASE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 1
    assert f"hf:{BASE} cannot be kept in {machine / 'hf'} (File too large)" in done.stderr
    assert document("list", "models")["models"][f"hf:{BASE}"].endswith("not on this machine")
    assert run("download", BASE).exit_code == 0
    assert load(f"hf:{BASE}").dim == 16


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_was_changed_on_its_way_is_removed(name: str, machine: Path, hub: Hub) -> None:
    hub.spoiled.add(name)
    done = run("download", BASE)
    assert done.exit_code == 1
    assert f"{name} has another hash than the Hub says" in done.stderr
    assert [path for path in machine.rglob(name) if path.exists()] == []
    hub.spoiled.clear()
    assert run("download", BASE).exit_code == 0


def test_a_revision_is_fetched_and_found_by_its_commit(machine: Path, hub: Hub) -> None:
    name = f"hf:{BASE}@{hub.commit(BASE)}"
    assert run("download", name).exit_code == 0
    assert load(name).provenance["commit"] == hub.commit(BASE)
    assert load(f"hf:{BASE}", revision=hub.commit(BASE)).name == BASE
    with pytest.raises(ConfigError, match="Name one"):
        load(name, revision="main")
