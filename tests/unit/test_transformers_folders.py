"""Folders of transformers: the same features, tokens and pixels as transformers itself gives."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_samples import CAPTIONS, random_picture
from published_samples import (
    CLIP_PREPROCESSOR,
    CONTEXT,
    SIGLIP_PREPROCESSOR,
    tiny_clip,
    tiny_siglip,
    write_openai_merges,
    write_siglip_tokenizer,
    write_tokenizer,
    write_transformers,
)
from safetensors.torch import save_file
from transformers import CLIPTokenizer
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import hyperaware
from hyperaware.errors import ModelError
from hyperaware.models.adapters import add_lora, merged
from hyperaware.models.architectures import ARCHITECTURES
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.pretrained import load, save
from hyperaware.models.squash import Squash, preprocess_from_config
from hyperaware.models.tokenizer_files import read_tokenizer

PICTURES = [random_picture(seed, size=(24, 16)) for seed in range(3)]
TEXTS = [*CAPTIONS, "", "A RABBIT!", "the man " * 20]


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    write_transformers(tmp_path / "clip", tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def siglip_folder(tmp_path: Path) -> Path:
    write_transformers(tmp_path / "siglip", tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(tmp_path / "siglip")
    return tmp_path / "siglip"


# -- CLIP ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_clip_gives_the_features_of_transformers(clip_folder: Path) -> None:
    """Its config has OpenAI's wrong end token, by which transformers pools at the highest id."""
    model, theirs = load(clip_folder), tiny_clip()
    assert json.loads((clip_folder / "config.json").read_text())["text_config"]["eos_token_id"] == 2
    tokens: Any = CLIPTokenizer.from_pretrained(clip_folder)
    ids = tokens(TEXTS, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")
    texts = theirs.get_text_features(**ids).pooler_output
    images = theirs.get_image_features(pixel_values=Preprocess(size=16)(PICTURES)).pooler_output
    normalised = torch.nn.functional.normalize
    torch.testing.assert_close(model.encode_text(TEXTS), normalised(texts), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_image(PICTURES), normalised(images), rtol=0, atol=1e-6)
    assert model.logit_scale.item() == pytest.approx(theirs.logit_scale.exp().item(), rel=1e-6)
    assert not model.training
    assert model.space.name == "sphere"


def test_the_end_token_is_the_tokenizers_and_long_captions_keep_it(clip_folder: Path) -> None:
    tokenizer = load(clip_folder).tokenizer
    assert tokenizer.eos_id == tokenizer.vocab_size - 1
    ids, _ = tokenizer(["the man " * 20])
    assert ids.shape == (1, CONTEXT)
    assert ids[0, -1] == tokenizer.eos_id


def test_a_saved_copy_gives_the_same_points(clip_folder: Path, tmp_path: Path) -> None:
    model = load(clip_folder)
    save(model, tmp_path / "ours")
    again = load(tmp_path / "ours")
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again.encode_text(TEXTS), model.encode_text(TEXTS))
    assert torch.equal(again.encode_image(PICTURES), model.encode_image(PICTURES))


@pytest.mark.parametrize("text", TEXTS)
def test_vocab_and_merges_give_the_ids_of_tokenizer_json(
    text: str, clip_folder: Path, tmp_path: Path
) -> None:
    write_tokenizer(tmp_path / "pair", files="vocab.json")
    assert not (tmp_path / "pair" / "tokenizer.json").exists()
    whole = read_tokenizer(clip_folder, context_length=CONTEXT)
    pair = read_tokenizer(tmp_path / "pair", context_length=CONTEXT)
    assert pair([text])[0].tolist() == whole([text])[0].tolist()
    assert pair.eos_id == whole.eos_id


def test_openais_merges_are_read_in_their_order(tmp_path: Path) -> None:
    """512 bytes, then the merges, then start and end: as OpenAI numbers them."""
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    write_openai_merges(path, ["a x", "ax e</w>"])
    tokenizer = read_tokenizer(path, context_length=CONTEXT)
    assert tokenizer.vocab_size == 512 + 2 + 2
    axe, start, end = 512 + 1, 512 + 2, 512 + 3
    assert tokenizer(["axe"])[0].tolist() == [[start, axe, end]]
    assert tokenizer(["!"])[0].tolist() == [[start, 256, end]]  # the first byte, at the end of a word
    assert tokenizer(["aé"])[0].tolist() == [
        [start, 64, 127, 256 + 102, end]
    ]  # two bytes, the last ends the word


def test_the_licence_of_a_folder_is_what_its_card_says(clip_folder: Path) -> None:
    assert load(clip_folder).provenance["license"] == "unknown"
    (clip_folder / "README.md").write_text(
        "# Weights\n\nlicense: cc-by-nc-4.0\n"
    )  # SafeR-CLIP's card has no head
    model = load(clip_folder)
    assert model.provenance["license"] == "cc-by-nc-4.0"
    save(model, clip_folder.parent / "ours")
    assert "license: cc-by-nc-4.0" in (clip_folder.parent / "ours" / "README.md").read_text()


def test_pickles_and_shards_are_read_as_tensors_only(clip_folder: Path) -> None:
    expected = load(clip_folder).fingerprint
    weights = tiny_clip().state_dict()
    (clip_folder / "model.safetensors").unlink()
    torch.save(weights, clip_folder / "pytorch_model.bin")
    assert load(clip_folder).fingerprint == expected
    (clip_folder / "pytorch_model.bin").unlink()
    names = sorted(weights)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for shard, part in shards.items():
        torch.save({name: weights[name] for name in part}, clip_folder / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (clip_folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert load(clip_folder).fingerprint == expected


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code in a pickle ran",))


def test_code_in_a_pickle_is_refused(clip_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clip_folder / "model.safetensors").unlink()
    torch.save({"weight": Harmful()}, clip_folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds code, which is never run"):
        load(clip_folder)
    assert "ran" not in capsys.readouterr().out


# -- SigLIP ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_siglip_gives_the_features_and_logits_of_transformers(siglip_folder: Path) -> None:
    """Texts padded to the context length and no mask; pictures squashed; scale and bias kept."""
    model, theirs = load(siglip_folder), tiny_siglip()
    assert isinstance(model.preprocess, Squash)
    ids = torch.zeros(len(CAPTIONS), CONTEXT, dtype=torch.int64)  # 0 is the padding
    for row, caption in enumerate(CAPTIONS):
        words = [word.lower() for word in caption.split()]
        found = [model.tokenizer.backend.token_to_id("▁" + word) for word in words]
        ids[row, : len(found) + 1] = torch.tensor([*found, 1])  # and the end
    processor = SiglipImageProcessorPil(size={"height": 16, "width": 16}, resample=2)
    pixels = torch.from_numpy(np.stack(processor(PICTURES).pixel_values))
    assert torch.equal(model.preprocess(PICTURES), pixels)
    out = theirs(input_ids=ids, pixel_values=pixels)
    torch.testing.assert_close(model.encode_text(CAPTIONS), out.text_embeds, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_image(PICTURES), out.image_embeds, rtol=0, atol=1e-6)
    cosine = model.encode_text(CAPTIONS) @ model.encode_image(PICTURES).T
    ours = model.logit_scale * cosine + model.clip.logit_bias
    torch.testing.assert_close(ours, out.logits_per_text, rtol=0, atol=1e-5)
    assert model.dim == 32


def test_siglip_reads_captions_alike_however_they_are_padded_and_in_lower_case(siglip_folder: Path) -> None:
    model = load(siglip_folder)
    together, alone = model.encode_text(CAPTIONS), torch.cat([model.encode_text(c) for c in CAPTIONS])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert torch.equal(model.encode_text("A RED BALL"), model.encode_text("a red ball"))
    assert not torch.allclose(model.encode_text("a red ball"), model.encode_text("a man"), atol=1e-2)


def test_a_saved_siglip_comes_back(siglip_folder: Path, tmp_path: Path) -> None:
    model = load(siglip_folder)
    save(model, tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["architecture"] == "siglip"
    again = load(tmp_path / "ours")
    assert again.fingerprint == model.fingerprint
    assert again.preprocess == model.preprocess
    assert again.clip.logit_bias.item() == pytest.approx(-3.0)
    assert torch.equal(again.encode_text(TEXTS), model.encode_text(TEXTS))
    assert torch.equal(again.encode_image(PICTURES), model.encode_image(PICTURES))


def test_siglip_can_be_lifted_adapted_and_merged(siglip_folder: Path, tmp_path: Path) -> None:
    model = load(siglip_folder)
    model.use_lorentz(alpha_image=0.2, alpha_text=0.2)
    add_lora(model, rank=2, targets=("k_proj", "v_proj", "fc1", "fc2"))
    ids, mask = model.tokenizer(CAPTIONS)
    points = model.embed_tokens(ids, mask)
    points.square().sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert any("lora_B" in name and "text_model" in name for name in trained)
    save(model, tmp_path / "tuned")
    again = load(tmp_path / "tuned")
    assert again.space.name == "lorentz"
    assert torch.allclose(again.encode_text(CAPTIONS), merged(model).encode_text(CAPTIONS), atol=1e-6)


def test_squashing_is_told_from_cropping_in_a_config() -> None:
    for preprocess in (Preprocess(size=16), Squash(size=16), Squash(size=16, filter="bilinear")):
        assert preprocess_from_config(json.loads(json.dumps(preprocess.config()))) == preprocess
    with pytest.raises(KeyError, match="size"):  # who only knows how to crop does not read it by mistake
        Preprocess.from_config(Squash(size=16).config())


# -- what is refused -------------------------------------------------------------------------------------


def edited(path: Path, **changes: Any) -> None:
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_other_models_are_refused_by_name(clip_folder: Path) -> None:
    edited(clip_folder / "config.json", model_type="siglip2")
    with pytest.raises(ModelError, match="NaFlex"):
        load(clip_folder)
    edited(clip_folder / "config.json", model_type="bert")
    with pytest.raises(ModelError, match="of kind 'bert'"):
        load(clip_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 0}, "another filter"),
        ({"size": 20}, "size 20, where the model sees 16"),
        ({"size": {"shortest_edge": 20}}, "size .*20"),
        ({"do_normalize": False}, "do_normalize false"),
        ({"rescale_factor": 1.0}, "rescale_factor 1.0"),
    ],
)
def test_preprocessing_that_is_not_done_here_is_refused(
    changes: dict[str, Any], message: str, clip_folder: Path
) -> None:
    edited(clip_folder / "preprocessor_config.json", **changes)
    with pytest.raises(ModelError, match=message):
        load(clip_folder)


def test_what_transformers_5_writes_decides_before_the_older_file(clip_folder: Path) -> None:
    """`CLIPProcessor.save_pretrained` puts the steps for pictures into processor_config.json alone."""
    own = json.loads((clip_folder / "preprocessor_config.json").read_text())
    nested = {"image_processor": {**own, "image_mean": [0.1, 0.2, 0.3]}, "processor_class": "CLIPProcessor"}
    for older in (True, False):
        (clip_folder / "processor_config.json").write_text(json.dumps(nested))
        if not older:
            (clip_folder / "preprocessor_config.json").unlink()
        assert load(clip_folder).preprocess == Preprocess(size=16, mean=(0.1, 0.2, 0.3))
    (clip_folder / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    assert load(clip_folder).preprocess == Preprocess(size=16)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("preprocessor_config.json", {"image_mean": 0.5}, "is damaged"),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5]}, "three numbers each"),
        ("preprocessor_config.json", {"image_std": [0.5, "a", 0.5]}, "three numbers each"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.0, 0.5]}, "deviation above 0"),
        ("preprocessor_config.json", {"resample": [3]}, "is damaged"),
        ("preprocessor_config.json", {"rescale_factor": "x"}, "is damaged"),
        ("config.json", {"vision_config": [1]}, "vision_config is"),
        ("config.json", {"vision_config": {"image_size": "x"}}, "image_size of config.json is damaged"),
    ],
)
def test_damaged_settings_are_model_errors(
    file: str, changes: dict[str, Any], message: str, clip_folder: Path
) -> None:
    edited(clip_folder / file, **changes)
    with pytest.raises(ModelError, match=message):
        load(clip_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_projection.weight": torch.ones(16, 31)}, r"1 of another shape \(such as text_projection"),
        ({"text_projection.weight": torch.full((16, 32), torch.nan)}, "not finite"),
        ({"text_projection.weight": torch.ones(16, 32, dtype=torch.int8)}, "quantised weights are not read"),
        ({"logit_scale": torch.tensor(torch.nan)}, "expected one finite number"),
        ({"logit_scale": torch.zeros(3)}, "expected one finite number"),
        ({"logit_scale": torch.tensor(1e6)}, "expected one finite number: a logarithm"),
    ],
    ids=["shape", "nan", "int8", "scale nan", "three scales", "no logarithm"],
)
def test_numbers_that_make_no_model_are_refused(
    change: dict[str, torch.Tensor], message: str, clip_folder: Path
) -> None:
    save_file(dict(tiny_clip().state_dict()) | change, clip_folder / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        load(clip_folder)


def pickled(document: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(document, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "run `git lfs pull`"),
        (pickled({"w": torch.zeros(4000)})[:9000], "cannot be read as a file of tensors only"),
        (b"", "cannot be read as a file of tensors only"),
        (b"<html>404</html>", "it is no pickle of tensors"),
        (pickled({1: torch.zeros(2)}), "holds no tensors by name"),
        (pickled([torch.zeros(2)]), "holds no tensors by name"),
        (pickled({"w": Path("x")}), "it asks for pathlib"),
    ],
    ids=["git-lfs", "truncated", "empty", "a page", "numbered", "a list", "an object"],
)
def test_what_is_no_state_dict_says_what_it_is(content: bytes, message: str, clip_folder: Path) -> None:
    (clip_folder / "model.safetensors").unlink()
    (clip_folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=message) as raised:
        load(clip_folder)
    assert "weights_only" not in str(raised.value)  # torch's advice to read it unsafely


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": [1]}', '{"weight_map": {"a": 1, "b": "x"}}'])
def test_a_damaged_index_of_shards_is_a_model_error(index: str, clip_folder: Path) -> None:
    (clip_folder / "model.safetensors").unlink()
    (clip_folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=r"index\.json is damaged"):
        load(clip_folder)


def test_the_provenance_has_no_path_of_this_machine(clip_folder: Path) -> None:
    assert load(clip_folder).provenance["source"] == "clip"


def test_without_preprocessor_config_it_is_the_kinds_own(clip_folder: Path, siglip_folder: Path) -> None:
    for folder in (clip_folder, siglip_folder):
        (folder / "preprocessor_config.json").unlink()
    assert load(clip_folder).preprocess == Preprocess(size=16)
    assert load(siglip_folder).preprocess == Squash(size=16)


def test_a_folder_without_tokenizer_says_what_to_do(clip_folder: Path) -> None:
    (clip_folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer.*--tokenizer"):
        load(clip_folder)
    (clip_folder / "spiece.model").write_bytes(b"")
    with pytest.raises(ModelError, match=r"spiece\.model only"):
        load(clip_folder)


def test_a_tokenizer_of_another_model_is_refused(clip_folder: Path) -> None:
    config = json.loads((clip_folder / "config.json").read_text())
    edited(clip_folder / "config.json", text_config={**config["text_config"], "vocab_size": 50})
    with pytest.raises(ModelError, match="knows 50 tokens"):
        load(clip_folder)


def test_missing_and_strange_tensors_are_counted_and_named(clip_folder: Path) -> None:
    weights = tiny_clip().state_dict()
    del weights["visual_projection.weight"]
    weights["visual_projection.bias"] = torch.zeros(16)
    (clip_folder / "model.safetensors").unlink()
    torch.save(weights, clip_folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"1 missing \(such as visual_projection\.weight\), 1 unknown"):
        load(clip_folder)


def test_every_architecture_has_its_key() -> None:
    from hyperaware.models.architectures import PART

    assert set(ARCHITECTURES) == set(PART)
    assert isinstance(hyperaware.load("world"), DualEncoder)
