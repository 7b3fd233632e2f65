"""Small models written in the file formats of published ones, and their forward passes written down plainly.

The writers and the forward passes know nothing of our converters: they follow the published code.
"""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import torch
from model_samples import CAPTIONS
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from hyperaware.models.tokenizer import train_tokenizer

VOCABULARY, CONTEXT = 160, 12


def write_tokenizer(folder: Path, *, files: str = "tokenizer.json") -> None:
    """A small tokenizer of CLIP's kind whose end token has the highest id, as OpenAI's.

    `files`: "tokenizer.json", or "vocab.json" for that and merges.txt.
    """
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    learned = json.loads(
        train_tokenizer(CAPTIONS, vocab_size=VOCABULARY - 2, context_length=CONTEXT).backend.to_str()
    )
    special = ("<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|unknown|>")
    words = [word for word in learned["model"]["vocab"] if word not in special]
    vocabulary = {word: index for index, word in enumerate([*words, *special[:2]])}
    merges = [tuple(merge) for merge in learned["model"]["merges"]]
    if files == "vocab.json":
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    else:
        made: Any = CLIPTokenizer(vocab=vocabulary, merges=merges)
        made.backend_tokenizer.save(str(folder / "tokenizer.json"))


def write_openai_merges(path: Path, merges: list[str]) -> None:
    """OpenAI's `bpe_simple_vocab_16e6.txt.gz`, with fewer merges."""
    with gzip.open(path, "wb") as file:
        file.write("\n".join(['"bpe_simple_vocab_16e6.txt#version: 0.2', *merges]).encode())


def clip_config(*, activation: str = "quick_gelu", legacy: bool = True, **vision: Any) -> dict[str, Any]:
    """A small CLIP's config; `legacy`: with the special ids of OpenAI's, which are wrong."""
    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1} if legacy else {}
    return {
        "model_type": "clip",
        "projection_dim": 16,
        "text_config": {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 64,
            "hidden_act": activation,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": CONTEXT,
            **ids,
        },
        "vision_config": {
            "hidden_size": 48,
            "intermediate_size": 96,
            "hidden_act": activation,
            "image_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "patch_size": 8,
            **vision,
        },
    }


def tiny_clip(*, seed: int = 0, **changes: Any) -> CLIPModel:
    """transformers' CLIP with random weights, large enough that a wrong activation shows."""
    torch.manual_seed(seed)
    config = clip_config(**changes)
    config.pop("model_type")
    return _drawn(CLIPModel(CLIPConfig(**config)).eval())


def _drawn(model: Any) -> Any:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
            elif "norm" not in name and parameter.numel() > 1:
                parameter.normal_(std=0.1)
    return model


def write_transformers(folder: Path, model: Any, *, preprocessor: dict[str, Any] | None = None) -> None:
    """config.json, model.safetensors and preprocessor_config.json, with the stray buffers of old files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    (folder / "config.json").write_text(json.dumps(config))
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    for tower, count in (("text", CONTEXT), ("vision", 5)):
        weights[f"{tower}_model.embeddings.position_ids"] = torch.arange(count).unsqueeze(0)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


CLIP_PREPROCESSOR = {
    "do_resize": True,
    "do_center_crop": True,
    "do_normalize": True,
    "resample": 3,
    "size": 16,
    "crop_size": 16,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
SIGLIP_PREPROCESSOR = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "resample": 2,
    "size": {"height": 16, "width": 16},
    "rescale_factor": 1 / 255,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "image_processor_type": "SiglipImageProcessor",
}


def tiny_siglip(*, seed: int = 0) -> SiglipModel:
    torch.manual_seed(seed)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**shared, "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
    config = SiglipConfig(text_config=text, vision_config={**shared, "image_size": 16, "patch_size": 8})
    model = _drawn(SiglipModel(config).eval())
    with torch.no_grad():
        model.logit_scale.fill_(math.log(7.0))
        model.logit_bias.fill_(-3.0)
    return model


def write_siglip_tokenizer(folder: Path) -> None:
    """A tokenizer like that of SigLIP 2: unigrams, `<eos>` appended, its own padding, and no lower case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["<pad>", "<eos>", "<unk>", *("▁" + word for text in CAPTIONS for word in text.split())]
    pieces += list("abcdefghijklmnopqrstuvwxyz▁")
    known = [(piece, -float(index)) for index, piece in enumerate(dict.fromkeys(pieces))]
    backend = Tokenizer(models.Unigram(known, unk_id=2))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(["<pad>", "<eos>", "<unk>"])
    backend.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"pad_token": "<pad>", "eos_token": "<eos>", "tokenizer_class": "GemmaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "right"}))


# -- HySAC -------------------------------------------------------------------------------------------------

ADAPTED = ("k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding")
SCALARS = {"logit_scale": 3.0, "curv": -2.3026, "visual_alpha": -3.4, "textual_alpha": -3.6}


def write_letters_tokenizer(folder: Path, *, size: int) -> None:
    """A tokenizer of CLIP's kind with just `size` ids, start and end the highest, and letters as tokens."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    symbols += [f"unused-{index}" for index in range(size - 2 - len(symbols))]
    vocabulary = {word: i for i, word in enumerate([*symbols, "<|startoftext|>", "<|endoftext|>"])}
    made: Any = CLIPTokenizer(vocab=vocabulary, merges=[])
    folder.mkdir(parents=True, exist_ok=True)
    made.backend_tokenizer.save(str(folder / "tokenizer.json"))


def hysac_state(
    model: CLIPModel, *, layout: str = "peft-0.4", rank: int = 4, scalars: dict[str, float] = SCALARS
) -> dict[str, Tensor]:
    """The state dict of the published HySAC class with these base weights and random adapters.

    `layout`: "peft-0.4", with `k_proj.weight` and a bias of the patch embedding, or "peft-0.6", with
    `k_proj.base_layer.weight` and without it.
    """
    generator = torch.Generator().manual_seed(9)
    state: dict[str, Tensor] = {name: torch.tensor(value) for name, value in scalars.items()}
    state |= {"pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
    towers = {"vision_model": "visual", "visual_projection": "visual"}
    towers |= {"text_model": "textual", "text_projection": "textual"}
    for name, tensor in model.state_dict().items():
        if name == "logit_scale":
            continue
        prefix = f"{towers[name.partition('.')[0]]}.base_model.model."
        module, _, kind = name.rpartition(".")
        if module.rpartition(".")[2] not in ADAPTED:
            state[prefix + name] = tensor.clone()
            continue
        state[
            f"{prefix}{module}.{kind}" if layout == "peft-0.4" else f"{prefix}{module}.base_layer.{kind}"
        ] = tensor.clone()
        if kind == "weight":
            shape_b = (len(tensor), rank, *(1 for _ in tensor.shape[2:]))
            a = torch.randn(rank, *tensor.shape[1:], generator=generator) * 0.3
            state[f"{prefix}{module}.lora_A.default.weight"] = a
            state[f"{prefix}{module}.lora_B.default.weight"] = torch.randn(shape_b, generator=generator) * 0.3
            if tensor.ndim == 4 and layout == "peft-0.4":
                state[f"{prefix}{module}.bias"] = torch.randn(len(tensor), generator=generator) * 0.3
    return state


BOUNDS = {
    "S": {"low_05": 0.41, "up_95": 0.48, "avg": 0.443},
    "V": {"low_05": 0.51, "up_95": 0.55, "avg": 0.527},
    "U": {"low_05": 0.46, "up_95": 0.628, "avg": 0.61},
    "G": {"low_05": 0.68, "up_95": 0.78, "avg": 0.755},
}
"""Published bounds, with numbers about where the authors' histogram shows them; made up."""


@torch.no_grad()
def unmerged_hysac(
    state: dict[str, Tensor], model: CLIPModel, ids: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Points of texts and pictures with the adapters beside the layers, as the published class computes them.

    Dropout is off. Every adapted layer adds B(A x) / rank to its output; the lift is MERU's.
    """
    handles = []
    towers = {"visual": "vision_model", "textual": "text_model"}
    for name, b in state.items():
        if not name.endswith("lora_B.default.weight"):
            continue
        path = name.removesuffix(".lora_B.default.weight")
        inner = path.partition(".base_model.model.")[2]
        assert inner.startswith(towers[path.partition(".")[0]])
        a = state[f"{path}.lora_A.default.weight"]
        bias = state.get(f"{path}.bias") if b.ndim == 4 else None
        handles.append(model.get_submodule(inner).register_forward_hook(_adapter(a, b, bias)))
    try:
        text = model.get_text_features(input_ids=ids).pooler_output
        image = model.get_image_features(pixel_values=pixels).pooler_output
    finally:
        for handle in handles:
            handle.remove()
    curv = state["curv"].exp()
    return tuple(  # type: ignore[return-value]
        _exp_map(features * state[alpha].exp(), curv)
        for features, alpha in ((text, "textual_alpha"), (image, "visual_alpha"))
    )


def _adapter(a: Tensor, b: Tensor, bias: Tensor | None) -> Any:
    def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if a.ndim == 4:
            low = nn.functional.conv2d(inputs[0], a, stride=layer.stride)
            added = nn.functional.conv2d(low, b) / len(a)
            return output + added + (0 if bias is None else bias.view(1, -1, 1, 1))
        return output + nn.functional.linear(nn.functional.linear(inputs[0], a), b) / len(a)

    return hook


def _exp_map(v: Tensor, curv: Tensor) -> Tensor:
    norm = curv.sqrt() * v.norm(dim=-1, keepdim=True)
    return norm.sinh() * v / norm
