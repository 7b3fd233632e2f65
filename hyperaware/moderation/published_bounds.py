"""Published `hysac_bounds.json`, as bounds. What the file does not have is left out, not made up.

The file has three numbers of each class (S safe texts, V safe images, U unsafe texts, G unsafe images):
`low_05`, `avg`, `up_95` of its geodesic root distances, on rows that nobody names. From these:

    limit[m]    up_95 of the safe class: by definition 5 % of those safe rows lie above it
    trigger[m]  the smaller of up_95 of the safe class and low_05 of the unsafe one: by definition at most 5 %
                of those unsafe rows lie below it. A query is judged by its own modality, as everywhere here
    landing[m]  avg of the target's safe class: the mean that the paper's rule aims at. At the released
                curvature of 0.1 its tanh term adds less than 0.01 to a mean under 0.54

These are percentiles of somebody else's rows and no conformal bounds: number of rows and medians are unknown,
and nothing is promised for yours. `hyperaware bounds` measures what is.
"""

import hashlib
import json
from pathlib import Path

from hyperaware.errors import SafetyError
from hyperaware.moderation.bounds import Bounds, ClassBounds

__all__ = ["LETTERS", "read_published_bounds", "remarks_on_bounds"]

LETTERS = {"safe_text": "S", "safe_image": "V", "unsafe_text": "U", "unsafe_image": "G"}
KEYS = ("low_05", "avg", "up_95")
SHARE = 0.05
RELEASED = {"safe_text": 0.443, "safe_image": 0.527, "unsafe_text": 0.618, "unsafe_image": 0.755}
"""Peaks of the root distances in the authors' histogram of ViSU's training rows (HySAC's project page)."""
NEAR = 0.06


def read_published_bounds(path: Path, *, model_fingerprint: str) -> Bounds:
    """The bounds of a published file, for the model that was converted beside it.

    Raises:
        SafetyError: a class or a number is missing, not finite, or not in order.
    """
    try:
        content = path.read_bytes()
        document = json.loads(content)
        found = {name: [document[letter][key] for key in KEYS] for name, letter in LETTERS.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SafetyError(
            f"{path} is no file of published bounds ({error!r}): expected {', '.join(LETTERS.values())}, "
            f"each with {', '.join(KEYS)}."
        ) from error
    classes = {
        name: ClassBounds(low_05=low, median=None, mean=mean, up_95=up, n=None)
        for name, (low, mean, up) in found.items()
    }
    limit = {m: classes[f"safe_{m}"].up_95 for m in ("text", "image")}
    trigger = {m: min(limit[m], classes[f"unsafe_{m}"].low_05) for m in limit}
    return Bounds(
        **classes,
        trigger=trigger,
        limit=limit,
        landing={m: classes[f"safe_{m}"].mean for m in limit},
        miss_rate=SHARE,
        alpha=SHARE,
        trigger_false_positive_rate={m: SHARE if trigger[m] == limit[m] else None for m in limit},
        limit_miss_rate=dict.fromkeys(limit),
        model_fingerprint=model_fingerprint,
        data_fingerprint=f"published:{hashlib.sha256(content).hexdigest()[:16]}",
        split="published",
    )


def remarks_on_bounds(bounds: Bounds) -> list[str]:
    """What is to be said of published bounds that are not where those of the release are expected."""
    means = {name: getattr(bounds, name).mean for name in LETTERS}
    far = {name: mean for name, mean in means.items() if abs(mean - RELEASED[name]) > NEAR}
    remarks = []
    if far:
        seen = ", ".join(f"{name} {mean:.3f} (expected {RELEASED[name]:.3f})" for name, mean in far.items())
        remarks.append(f"mean root distances are not those of the released HySAC: {seen}.")
    for modality in ("text", "image"):
        if means[f"unsafe_{modality}"] <= means[f"safe_{modality}"]:
            remarks.append(
                f"unsafe {modality}s lie no farther out than safe ones: do not judge by these bounds."
            )
    return remarks
