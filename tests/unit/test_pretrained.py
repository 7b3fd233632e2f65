"""Model folders: what is written comes back to the bit, and a folder that is not whole is refused by name."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import CAPTIONS, TINY, random_picture, tiny_model
from safetensors.torch import load_file, save_file

import hyperaware
from hyperaware.errors import ConfigError, ModelError
from hyperaware.models import pretrained
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load, save

PICTURES = [random_picture(seed) for seed in range(5)]


@pytest.fixture(params=[False, True], ids=["sphere", "lorentz"])
def model(request: pytest.FixtureRequest) -> DualEncoder:
    model = tiny_model(lorentz=request.param)
    model.name, model.provenance = "tiny", {"recipe": "none", "seed": 3}
    return model


@pytest.fixture
def folder(model: DualEncoder, tmp_path: Path) -> Path:
    save(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_comes_back_to_the_bit(model: DualEncoder, folder: Path) -> None:
    again = hyperaware.load(folder)
    assert isinstance(again, DualEncoder)
    assert not again.training
    assert again.fingerprint == model.fingerprint
    assert (again.name, again.folder, again.provenance) == ("tiny", folder, {"recipe": "none", "seed": 3})
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(again.encode_text(CAPTIONS), model.encode_text(CAPTIONS))
    assert torch.equal(again.encode_image(PICTURES), model.encode_image(PICTURES))


def test_saving_twice_writes_the_same_bytes(model: DualEncoder, folder: Path, tmp_path: Path) -> None:
    save(load(folder), tmp_path / "again")
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_half_precision_keeps_distances_and_the_scalars(model: DualEncoder, tmp_path: Path) -> None:
    save(model, tmp_path, dtype=torch.float16)
    stored, scalars = load_file(tmp_path / "model.safetensors"), dict(model.scalars())
    assert {t.dtype for name, t in stored.items() if name not in scalars} == {torch.float16}
    assert {stored[name].dtype for name in scalars} == {torch.float32}
    again = load(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    ours, theirs = (
        loaded.space.similarity(loaded.encode_text(CAPTIONS), loaded.encode_image(PICTURES)).detach()
        for loaded in (again, model)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
    assert not torch.equal(ours, theirs)


def test_a_loaded_model_can_be_saved_in_its_own_folder(folder: Path) -> None:
    before = load(folder).fingerprint
    save(load(folder), folder)
    assert load(folder).fingerprint == before


def test_no_pickle_is_written(folder: Path) -> None:
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".md"}
    assert (folder / "model.safetensors").read_bytes()[8:9] == b"{"  # eight bytes of length, then JSON


def test_a_full_disk_is_told_and_the_weights_before_it_stay(model: DualEncoder, folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(ModelError, match=r"model\.safetensors could not be written"):
            save(model, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder / "model.safetensors").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_whoever_may_read_the_config_may_read_the_weights(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]


def test_config_says_what_the_model_is(model: DualEncoder, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == 1
    assert config["space"] == model.space.name
    assert config["provenance"] == {"recipe": "none", "seed": 3}
    assert config["clip"]["projection_dim"] == TINY.projection
    assert "transformers_version" not in config["clip"]


# -- folders that are refused ----------------------------------------------------------------------------


def edited(**changes: Any) -> Callable[[Path], None]:
    """Writes changes into config.json; None takes the key away."""

    def edit(folder: Path) -> None:
        path = folder / "config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return edit


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def containing(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def reshaped(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["clip.text_projection.weight"] = torch.zeros(3, 3)
    save_file(weights, folder / "model.safetensors")


def renamed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["log_temperature"] = weights.pop("log_logit_scale")
    save_file(weights, folder / "model.safetensors")


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (without("config.json"), r"has no config\.json"),
    "no weights": (without("model.safetensors"), r"model\.safetensors is missing"),
    "no tokenizer": (without("tokenizer.json"), r"has no tokenizer\.json"),
    "config is no JSON": (containing("config.json", b"{"), r"config\.json is not JSON"),
    "config is no text": (containing("config.json", b"\xff\xfe"), r"config\.json is not JSON"),
    "config is a list": (containing("config.json", b"[]"), r"config\.json has format None"),
    "older format": (edited(format=0), r"config\.json has format 0, this version reads 1"),
    "newer format": (edited(format=2), r"config\.json has format 2, this version reads 1"),
    "no format": (edited(format=None), r"config\.json has format None"),
    "no preprocessing": (edited(preprocess=None), r"config\.json is incomplete .*preprocess"),
    "no towers": (edited(clip=None), r"config\.json is incomplete .*clip"),
    "unknown space": (edited(space="poincare"), r"config\.json is incomplete .*poincare"),
    "wrong type": (edited(clip={"projection_dim": "wide"}), r"config\.json is incomplete"),
    "a width below zero": (edited(clip={"projection_dim": -1}), r"config\.json is incomplete"),
    "no end token": (edited(clip={"text_config": {"eos_token_id": None}}), "eos_token_id None"),
    "a name that is none": (edited(name=["x"]), r"config\.json is incomplete .*name \['x'\]"),
    "a provenance that is none": (edited(provenance=["x"]), r"config\.json is incomplete .*provenance"),
    "weights are no safetensors": (containing("model.safetensors", b"PK"), r"model\.safetensors is not"),
    "weights are cut off": (cut, r"model\.safetensors is not a readable safetensors"),
    "weights of another shape": (reshaped, r"model\.safetensors does not fit .*text_projection"),
    "weights of another name": (renamed, r"model\.safetensors does not fit .*log_temperature"),
    "tokenizer is damaged": (containing("tokenizer.json", b"{}"), r"tokenizer\.json is not a readable"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_that_is_not_whole_is_refused(damage: str, folder: Path) -> None:
    break_it, message = DAMAGE[damage]
    break_it(folder)
    with pytest.raises(ModelError, match=f"(?s){message}") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_the_space_is_not_guessed(folder: Path) -> None:
    other = {"sphere": "lorentz", "lorentz": "sphere"}
    edited(space=other[json.loads((folder / "config.json").read_text())["space"]])(folder)
    with pytest.raises(ModelError, match=r"does not fit .*log_curv"):
        load(folder)


def test_an_unknown_name_suggests_the_spelling() -> None:
    with pytest.raises(ConfigError, match=r"'wrold'\. Did you mean 'world'\?"):
        hyperaware.load("wrold")


def test_only_hub_models_have_revisions(folder: Path) -> None:
    for name in ("world", folder):
        with pytest.raises(ConfigError, match="only hf:ORG/NAME has revisions"):
            load(name, revision="main")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "damaged"])
def test_a_shipped_model_is_verified(missing: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "shipped_folder", lambda name: folder)
    if not missing:
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  model.safetensors\n")
    with pytest.raises(
        ModelError, match=r"SHA256SUMS is missing" if missing else r"model\.safetensors is missing or"
    ):
        load("world")
