"""The model card: what a model is for, what it is not for, and where it comes from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["card"]

FRONT_MATTER = """---
license: {license}
library_name: hyperaware
pipeline_tag: zero-shot-image-classification
tags: [clip, safety, {space}]
---
"""

WORLD_LIMITS = """This model knows the embedded world of hyperaware, drawn by a program, and **nothing else**:
on photographs, emoji or other people's drawings its scores mean nothing. It is for learning, testing and
demonstrations, never for moderating what people upload. It does not understand negation."""

OTHER_LIMITS = """Scores are relative to the data that the bounds were measured on. Measure them again on data
of your own before you rely on them (`hyperaware bounds`), and have people review what matters. It is no
detector of illegal content."""


def card(
    model: "DualEncoder", *, figures: Mapping[str, float] | None = None, license: str | None = None
) -> str:
    """The card as Markdown. `figures`: names, which say the split, to fractions."""
    made = model.provenance
    of_world = str(made.get("rows", "")).startswith("world:")
    license = license or made.get("license") or ("apache-2.0" if of_world else "unknown")
    space = model.space.config()
    curvature = f", curvature -{space['curv']:.4g}" if "curv" in space else ""
    million = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    lines = [
        FRONT_MATTER.format(license=license, space=space["name"]) + f"# {model.name}",
        f"A dual encoder for pictures and texts in the {space['name']} space{curvature}: {million:.2f} M "
        f"parameters, pictures of {model.preprocess.size} px, points of {model.dim} coordinates.",
        "## What it is not for\n\n" + (WORLD_LIMITS if of_world else OTHER_LIMITS),
        "## How it was made\n\n" + "\n".join(f"- {key}: {value}" for key, value in made.items()),
    ]
    if figures:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in figures.items())
        lines.append(f"## Figures\n\n| figure | value |\n| --- | --- |\n{rows}")
    lines.append(
        f'## Use\n\n```python\nimport hyperaware as ha\n\nmodel = ha.load("{_reference(model)}")\n```'
    )
    return "\n\n".join(lines) + "\n"


def _reference(model: "DualEncoder") -> str:
    return model.name if model.provenance.get("shipped") else "path/to/this/folder"
