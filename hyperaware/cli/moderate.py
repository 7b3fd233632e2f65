"""`hyperaware moderate` and `explain`: what a model says about texts and pictures, and why."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import BAD_INPUTS
from hyperaware.cli.parameters import Concepts as ConceptFile
from hyperaware.cli.parameters import Device, Json, ModelName, PolicyFile, Role
from hyperaware.errors import ConfigError, DataError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.explain import Explanation, Pool
    from hyperaware.moderate import Moderation, Moderator

__all__ = ["explain", "moderate"]

TOGETHER = 256
"""Items that are judged between two steps of the bar."""


def moderate(
    model: ModelName,
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A text. May be repeated.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A picture. May be repeated.")
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Items: on each line {"text": ...} or {"image": path}, perhaps with an "id".',
        ),
    ] = None,
    role: Role = None,
    policy: PolicyFile = None,
    concepts: ConceptFile = None,
    domain: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge by the thresholds of this domain of the calibration."),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Judge texts and pictures.

    Each gets its root distance, the probability that it is unsafe, the policy's verdict and its categories.
    An item that cannot be read or judged is named with the reason, and is never safe: the exit code is
    then 3.
    """
    items = {
        **{f"text {number}": {"text": each} for number, each in enumerate(text or (), start=1)},
        **{str(path): {"image": str(path)} for path in image or ()},
    }
    if jsonl is not None:
        items |= _items(jsonl)
    if not items:
        raise ConfigError('nothing to judge: give --text "...", --image FILE or --jsonl FILE.')
    moderator = _moderator(model, policy, concepts, domain, device=device)
    found = _judged(moderator, items, role)
    if json:
        results = [{"id": name, **items[name], **document(each)} for name, each in found.items()]
        emit({"model": moderator.model.name, "model_fingerprint": moderator.fingerprint, "results": results})
    else:
        _show(found, {name: item["text"] for name, item in items.items() if "text" in item})
    if any(each.failure is not None for each in found.values()):
        raise typer.Exit(BAD_INPUTS)


def _judged(
    moderator: "Moderator", items: dict[str, dict[str, str]], role: str | None
) -> dict[str, "Moderation"]:
    """What is known of each item, in their order."""
    found: dict[str, Moderation] = {}
    names = list(items)
    with Bars() as bars:
        for start in range(0, len(names), TOGETHER):
            part = names[start : start + TOGETHER]
            texts = {name: items[name]["text"] for name in part if "text" in items[name]}
            images = {name: items[name]["image"] for name in part if "image" in items[name]}
            answers = moderator.moderate(list(texts.values()), list(images.values()), role=role)
            judged = dict(zip([*texts, *images], answers, strict=True))
            found |= {name: judged[name] for name in part}
            if len(names) > TOGETHER:
                bars("judge", len(found), len(names))
    return found


def _items(path: Path) -> dict[str, dict[str, str]]:
    """The items of a file by their ids, or by their lines where they have none; pictures beside the file."""
    import json

    items: dict[str, dict[str, str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON ({error}).") from error
        keys = [key for key in ("text", "image") if key in record] if isinstance(record, dict) else []
        if len(keys) != 1 or not isinstance(record[keys[0]], str):
            raise DataError(f'{where}: expected an object with one of "text" and "image", a text each.')
        name = str(record.get("id", f"line {number}"))
        if name in items:
            raise DataError(f"{where}: the id {name!r} was used before.")
        value = record[keys[0]]
        items[name] = {keys[0]: str(path.parent / value) if keys == ["image"] else value}
    return items


def _moderator(
    model: str, policy: Path | None, concepts: Path | None, domain: str | None = None, *, device: str = "cpu"
) -> "Moderator":
    from hyperaware.models.pretrained import load
    from hyperaware.moderate import Moderator
    from hyperaware.moderation.concepts import Concepts
    from hyperaware.moderation.policy import Policy

    chosen = None if policy is None else Policy.read(policy)
    loaded = load(model, device=device)
    return Moderator.of(loaded, policy=chosen, concepts=Concepts.of(loaded, concepts), domain=domain)


def document(moderation: "Moderation") -> dict[str, Any]:
    """A moderation as it is printed by `--json`."""
    from dataclasses import asdict

    whole = asdict(moderation)
    whole["failure"] = None if moderation.failure is None else moderation.failure._asdict()
    for name, score in moderation.categories.items():
        whole["categories"][name] = {**score._asdict(), "calibrated": score.calibrated}
    return {**whole, "flagged": moderation.flagged, "margin": moderation.margin}


def _show(found: Mapping[str, "Moderation"], texts: Mapping[str, str]) -> None:
    rows = []
    for name, each in found.items():
        categories = sorted(each.categories.items(), key=lambda pair: -(pair[1].probability or 0.0))
        named = [f"{category} {score.probability:.2f}" for category, score in categories if score.probability]
        windows = f" ({each.windows} windows)" if each.windows > 1 else ""
        rows.append(
            [
                texts.get(name, name) + windows,
                "-" if each.score is None else f"{each.score:.4f}",
                "-" if each.bound is None else f"{each.bound:.4f}",
                "-" if each.probability is None else f"{each.probability:.3f}",
                "failed" if each.verdict is None else each.verdict.action,
                ", ".join(named[:2]) or "-",
            ]
        )
    table(["item", "root distance", "bound", "probability", "action", "likeliest categories"], rows)
    for name, each in found.items():
        if each.failure is not None:
            note(f"failed: {name}: {each.failure.reason}: {each.failure.message}")
    if any(not score.calibrated for each in found.values() for score in each.categories.values()):
        note("Some categories are uncalibrated: they have scores, but no probabilities (see --json).")


def explain(
    model: ModelName,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="A text.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="A picture.")] = None,
    pool: Annotated[
        Path | None,
        typer.Option(metavar="SOURCE|FILE.txt", help="Captions to tell on the way to the root."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw which parts of the picture make it unsafe.")
    ] = None,
    role: Role = None,
    policy: PolicyFile = None,
    concepts: ConceptFile = None,
    json: Json = False,
) -> None:
    """Tell why a text or a picture got its score.

    The margin to the bound, the nearest concepts, the captions on the way to the root, and what each word or
    each part of the picture contributes: the root distance with it minus that without it.
    """
    from hyperaware.explain import explain_image, explain_text, overlay

    if (text is None) == (image is None):
        raise ConfigError("an explanation needs either --text or --image, and not both.")
    if out is not None and image is None:
        raise ConfigError("--out draws a picture's parts; it has a meaning with --image only.")
    moderator = _moderator(model, policy, concepts)
    told = None if pool is None else _pool(moderator, pool)
    if image is None:
        assert text is not None  # one of the two was given
        found = explain_text(moderator, text, pool=told, role=role)
    else:
        found = explain_image(moderator, image, pool=told, role=role)
        if out is not None:
            assert found.occlusion is not None  # it is a picture's
            overlay(moderator, image, found.occlusion).save(out, "PNG")
    if json:
        emit(_explained(found))
        return
    _show_explanation(found)
    if out is not None:
        screen().print(f"\nWhat makes it unsafe, in red: {out}", soft_wrap=True)


def _pool(moderator: "Moderator", pool: Path) -> "Pool":
    from hyperaware.cli.search import captions
    from hyperaware.explain import Pool

    found = captions(pool)
    return Pool(found, moderator.model.encode_text(found))


def _explained(found: "Explanation") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "moderation": document(found.moderation),
        "stops": [asdict(stop) for stop in found.stops],
        "nearest": [concept._asdict() for concept in found.nearest],
        "words": [word._asdict() for word in found.words],
        "occlusion": None if found.occlusion is None else found.occlusion.tolist(),
    }


def _show_explanation(found: "Explanation") -> None:
    judged, out = found.moderation, screen()
    assert judged.verdict is not None  # there is no explanation without one
    assert judged.margin is not None
    out.print(judged.verdict.reason, soft_wrap=True)
    side = "within" if judged.margin >= 0 else "beyond"
    chance = "" if judged.probability is None else f", unsafe with probability {judged.probability:.3f}"
    out.print(f"{abs(judged.margin):.4f} {side} the bound{chance}\n", soft_wrap=True)
    if found.words:
        ranked = sorted(found.words, key=lambda word: -word.contribution)
        table(["word", "contribution"], [[word.text, f"{word.contribution:+.4f}"] for word in ranked])
        out.print()
    if found.nearest:
        rows = [[each.category, each.prompt, f"{each.cosine:.3f}"] for each in found.nearest]
        table(["category", "nearest concepts", "cosine"], rows)
        out.print()
    if found.stops:
        stops = [[stop.caption, f"{stop.root_distance:.3f}"] for stop in found.stops]
        table(["on the way to the root", "from root distance"], stops)
