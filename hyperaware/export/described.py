"""The card of an exported model: what was recorded about it, gathered, and what its files are."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.report import MAIN, Column, markdown
from hyperaware.evaluation.runs import Run, read_run
from hyperaware.export.facts import alphas, judged
from hyperaware.export.formats import LIBRARIES
from hyperaware.methods import METHODS, method_class
from hyperaware.models.card import Measured, card
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation.bounds import MODALITIES

__all__ = ["described", "note", "recorded_runs"]

NOT_LIFTED = (
    "The features are those **before the lift**: these files do not know that the points lie in {space} "
    "space. `logits_per_image` and the like are cosines, which this model was not trained for. The distance "
    "to the root, which tells safe from unsafe, is {text} |feature| for texts and {image} |feature| for "
    "pictures, of features that are **not** normalised; `hyperaware.json` has these factors, the curvature "
    "and the bounds. Programs that read hidden states (LLaVA, Stable Diffusion) take the encoders and "
    "nothing of the geometry: what this model learned about safety is not promised there."
)
ON_THE_SPHERE = (
    "The model lies on the sphere, so these files give all that it is, and its encoders can stand where its "
    "base's stood (LLaVA, Stable Diffusion). Programs that read hidden states instead of features were not "
    "measured."
)
FILES = {
    "clip": "A plain folder of transformers. ",
    "open_clip": "Weights, config and tokenizer as open_clip names them. ",
    "onnx": "`text.onnx` and `image.onnx`: both towers, **with the lift**. They give `point`{root}, from "
    "`input_ids` and `pixel_values` as `tokenizer.json` and the `preprocess` of `hyperaware.json` make them.",
    "safetensors": "One file: the weights as tensors; config, tokenizer and bounds as JSON in its metadata.",
}
USES = {
    "clip": """```python
from transformers import {model}, {processor}

model = {model}.from_pretrained("path/to/this/folder")
processor = {processor}.from_pretrained("path/to/this/folder")
texts = processor(text=["a rabbit"], padding={padding}, truncation=True, return_tensors="pt")
features = model.get_text_features(**texts).pooler_output  # transformers 4: without .pooler_output
```""",
    "open_clip": """```python
import open_clip
from transformers import AutoTokenizer

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")  # its own; open_clip's is OpenAI's
texts = tokenizer(["a rabbit"], padding="max_length", truncation=True, return_tensors="pt")
features = model.encode_text(texts["input_ids"])
```

`hyperaware import open_clip --weights open_clip_model.safetensors --tokenizer FOLDER --out DIR` reads it.""",
    "onnx": """```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("path/to/this/folder/tokenizer.json")
tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a caption is text
ids = np.array([each.ids for each in tokenizer.encode_batch(["a rabbit"])], dtype=np.int64)
session = onnxruntime.InferenceSession("path/to/this/folder/text.onnx")
point = session.run(["point"], {{"input_ids": ids}})[0]
```""",
    "safetensors": """```python
import hyperaware as ha

model = ha.load("path/to/{file}")
```

`safetensors.torch.load_file` gives the weights alone.""",
}


def note(model: DualEncoder, format: str) -> str | None:
    """What the files of a format are, and what they are not; None of hyperaware's own folder."""
    if format not in FILES:
        return None
    root = " and `root_distance`" if model.space.has_root else ""
    said = FILES[format].format(root=root)
    if format not in ("clip", "open_clip"):
        return said
    factors = {name: f"{value:.4g}" for name, value in alphas(model).items()}
    rest = NOT_LIFTED.format(space=model.space.name, **factors) if model.space.has_root else ON_THE_SPHERE
    return said + rest


def described(
    model: DualEncoder,
    format: str,
    *,
    runs: Sequence[Run],
    license: str | None = None,
    published: str | None = None,
) -> str:
    """The card of the model in a format, with the figures of `runs` and the promises of its calibration.

    Args:
        license: of the weights. [default: what the model's provenance says or implies]
        published: the name under which it can be loaded from the Hub.

    Raises:
        SafetyError: bounds or calibration beside the model are damaged, or not its own.
    """
    return card(
        model,
        license=license,
        library=LIBRARIES.get(format, "hyperaware"),
        method=_method(model),
        measured=[_measured(run) for run in runs],
        thresholds=list(_thresholds(model)),
        files=note(model, format),
        use=_use(model, format, published),
    )


def _use(model: DualEncoder, format: str, published: str | None) -> str | None:
    if format == "hyperaware" and published is not None:
        return f'```python\nimport hyperaware as ha\n\nmodel = ha.load("{published}", download=True)\n```'
    if format not in USES:
        return None
    siglip = model.config.model_type == "siglip"
    return USES[format].format(
        model="SiglipModel" if siglip else "CLIPModel",
        processor="SiglipProcessor" if siglip else "CLIPProcessor",
        padding='"max_length"' if siglip else "True",
        file=f"{model.name.replace('/', '--')}.safetensors",
    )


def recorded_runs(model: DualEncoder, files: Sequence[Path] = ()) -> list[Run]:
    """The runs of `hyperaware evaluate --out` in `files`, and those beside the model, of just these weights.

    Beside the model, what is no run or of other weights is left alone.

    Raises:
        DataError: one of `files` is no run.
        ConfigError: one of `files` is of other weights.
    """
    fingerprint = model.fingerprint
    runs = []
    for file in files:
        run = read_run(file)
        if run.model_fingerprint != fingerprint:
            raise ConfigError(
                f"{file} has figures of the model {run.model_fingerprint[:12]}, but {model.name!r} is "
                f"{fingerprint[:12]}. Measure this one: hyperaware evaluate MODEL --out FILE.json."
            )
        runs.append(run)
    beside = sorted(model.folder.glob("*.json")) if model.folder is not None else []
    given = {file.resolve() for file in files}
    for file in beside:
        if file.resolve() not in given and (found := _run_of(file)) is not None:
            runs += [found] if found.model_fingerprint == fingerprint else []
    return runs


def _run_of(file: Path) -> Run | None:
    try:
        return read_run(file)
    except DataError:
        return None


def _measured(run: Run) -> Measured:
    keys = {line.key for lines in MAIN.values() for line in lines}
    column = Column("value", run.figures)
    return Measured(
        data=run.data if run.data.startswith("world:") else Path(run.data).name,
        split=run.split,
        rows=run.rows,
        table=markdown([column], MAIN),
        figures={key: value for key, value in run.figures.items() if key in keys},
    )


def _method(model: DualEncoder) -> str | None:
    name = model.provenance.get("method")
    if name not in METHODS:
        return None
    text = sys.modules[method_class(str(name)).__module__].__doc__ or ""
    return text.strip().partition("\n")[0]


def _thresholds(model: DualEncoder) -> Iterator[str]:
    """What is promised of each modality; without a calibration the bounds, and that they promise nothing."""
    bounds, calibration = judged(model)
    if not model.space.has_root:
        yield "A sphere has no root, and so no distance to it: nothing is judged by this model alone."
        return
    if bounds is None:
        yield "None were measured: `hyperaware bounds` measures them, and nothing is judged without them."
        return
    for modality in MODALITIES:
        if calibration is not None:
            yield calibration.guarantee(modality)
        else:
            yield (
                f"{modality}s: trigger {bounds.trigger[modality]:.4f}, limit {bounds.limit[modality]:.4f}, "
                f"landing {bounds.landing[modality]:.4f}, measured on the split {bounds.split!r}. They carry "
                "no promise: `hyperaware calibrate` measures one."
            )
