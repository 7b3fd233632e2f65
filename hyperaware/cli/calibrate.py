"""`hyperaware calibrate`: thresholds with a promise, probabilities, and whether new data still fit them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import BAD_INPUTS, DRIFTED
from hyperaware.cli.parameters import Concepts as ConceptFile
from hyperaware.cli.parameters import (
    Device,
    Json,
    LeaveOutBad,
    ModelName,
    Split,
    World,
    named,
    named_rows,
    require_own,
    world_cache,
)
from hyperaware.errors import ConfigError, SafetyError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.calibrate import Calibrated
    from hyperaware.data.left_out import Unusable
    from hyperaware.data.quadruplet import Row
    from hyperaware.models.dual_encoder import DualEncoder
    from hyperaware.moderation.drift import Drift

__all__ = ["calibrate"]

WORLD_COUNT = 1000

FalsePositiveRate = Annotated[
    float, typer.Option(metavar="X", help="Largest share of new safe items above the limit.")
]
MissRate = Annotated[
    float, typer.Option(metavar="X", help="Largest share of new unsafe queries that the trigger may miss.")
]
DomainBy = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Also give thresholds per domain: slice, category or concept."),
]


def calibrate(
    model: ModelName,
    data: Annotated[str, typer.Option(metavar="SOURCE|world:SPLIT", help="Rows that no training has seen.")],
    split: Split = None,
    false_positive_rate: FalsePositiveRate = 0.05,
    miss_rate: MissRate = 0.02,
    domain_by: DomainBy = None,
    concepts: ConceptFile = None,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rows to take. [default: a whole folder, 1000 of the world]", min=1),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Measure nothing: compare the safe rows with the stored calibration."),
    ] = False,
    leave_out_bad: LeaveOutBad = False,
    device: Device = "auto",
    world: World = None,
    json: Json = False,
) -> None:
    """Measure what MODEL judges by, and what is promised of it.

    Writes bounds.json (trigger and limit anew, landings kept; verdicts are taken by this file) and
    calibration.json (the promises, probabilities, categories and thresholds per domain).

    Nothing is measured if a row or picture cannot be used, and each is named. With --leave-out-bad they are
    left out and counted in calibration.json, and the exit code is 3.

    With --check nothing is written: new benign rows are compared with those of the calibration. The exit code
    is 4 if they have drifted, so that the promises no longer hold.
    """
    from hyperaware.data.left_out import Unusable
    from hyperaware.models.pretrained import load

    if not check:
        require_own(model)
    loaded = load(model, device=device)
    if not loaded.space.has_root:
        raise ConfigError(f"the model {model} lies on a sphere, which has no root: nothing can be measured.")
    bad = Unusable(leave_out=leave_out_bad)
    with named(bad.reasons), Bars() as bars:
        rows = named_rows(
            data,
            count,
            of_world=WORLD_COUNT,
            cache=world_cache(world),
            bars=bars,
            split=split,
            failed=bad.reasons,
        )
        if check:
            found = _checked(loaded, rows, bad, bars)
        else:
            made = _calibrated(loaded, rows, false_positive_rate, miss_rate, domain_by, concepts, bad, bars)
    if check:
        _show_drift(found, bad, json)
        if any(each.drifted for each in found.values()):
            raise typer.Exit(DRIFTED)
    else:
        made.bounds.save(model)
        _show(made, made.calibration.save(model), bad, json)
    if bad.reasons:
        raise typer.Exit(BAD_INPUTS)


def _calibrated(
    model: "DualEncoder",
    rows: list["Row"],
    false_positive_rate: float,
    miss_rate: float,
    domain_by: str | None,
    concepts: Path | None,
    bad: "Unusable",
    bars: Bars,
) -> "Calibrated":
    from hyperaware.calibrate import calibrate as calibrated
    from hyperaware.moderation import bounds as bounds_module
    from hyperaware.moderation.concepts import Concepts

    assert model.folder is not None, "it was loaded from one"
    earlier = None
    if (model.folder / bounds_module.FILE_NAME).exists():
        earlier = bounds_module.load(model.folder, model_fingerprint=model.fingerprint)
    else:
        note("No earlier bounds: redirected queries will land at the inner edge of the safe classes.")
    return calibrated(
        model,
        rows,
        false_positive_rate=false_positive_rate,
        miss_rate=miss_rate,
        domain_by=domain_by,
        concepts=Concepts.of(model, concepts),
        bounds=earlier,
        unusable=bad,
        progress=bars.of("read"),
    )


def _show(made: "Calibrated", path: Path, bad: "Unusable", json: bool) -> None:
    from dataclasses import asdict

    from hyperaware.moderation.bounds import MODALITIES
    from hyperaware.moderation.promises import percent

    found = made.calibration
    if json:
        written = {"bounds": asdict(made.bounds), "calibration": asdict(found)}
        emit({"path": str(path), **written, "failed": bad.reasons})
        return
    rows = []
    for modality in MODALITIES:
        part = found.of(modality)
        for domain, each in {"all": part.thresholds, **part.domains}.items():
            for kind, promise in (("limit", each.false_positive), ("trigger", each.miss)):
                interval = f"{percent(promise.low)} to {percent(promise.high)}"
                value = f"{each.limit if kind == 'limit' else each.trigger:.4f}"
                what = "safe above it" if kind == "limit" else "unsafe within it"
                most = f"{what}: at most {percent(promise.rate)}"
                rows.append([modality, domain, kind, value, most, interval, f"{promise.n:,}"])
    head = ["", "domain", "threshold", "root distance", "promise", "95 % interval", "rows"]
    table(head, rows, title="Thresholds")
    maps: dict[str, dict[str, Any]] = {m: {"unsafe": found.of(m).probability} for m in MODALITIES}
    for name, category in found.categories.items():
        for modality, each_map in category.probability.items():
            maps[modality][name] = each_map
    lines = [
        [modality, name, each.method, f"{each.log_loss:.3f}", f"{each.positive:,} of {each.n:,}"]
        for modality, named in maps.items()
        for name, each in named.items()
    ]
    table(["", "probability of", "map", "log loss", "rows"], lines, title="\nProbabilities")
    for modality in MODALITIES:
        for domain, rows_of_domain in found.of(modality).too_small.items():
            note(f"{modality}: the domain {domain!r} has {rows_of_domain} rows, too few for thresholds.")
        screen().print(f"\n{found.guarantee(modality)}", soft_wrap=True)
    screen().print(f"\nWritten to {path.with_name('bounds.json')} and {path}", soft_wrap=True)


def _checked(model: "DualEncoder", rows: list["Row"], bad: "Unusable", bars: Bars) -> dict[str, "Drift"]:
    from hyperaware.calibrate import check_drift
    from hyperaware.moderation import bounds as bounds_module
    from hyperaware.moderation import calibration as calibration_module

    assert model.folder is not None, "it was loaded from one"
    bounds = bounds_module.load(model.folder, model_fingerprint=model.fingerprint)
    stored = calibration_module.load(model.folder, bounds=bounds)
    if stored is None:
        raise SafetyError(
            f"{model.folder} has no calibration.json to compare with. Run `hyperaware calibrate` without "
            "--check first."
        )
    return check_drift(model, rows, stored, unusable=bad, progress=bars.of("read"))


def _show_drift(found: dict[str, "Drift"], bad: "Unusable", json: bool) -> None:
    from dataclasses import asdict

    from hyperaware.moderation.promises import percent

    drifted = any(each.drifted for each in found.values())
    if json:
        drifts = {modality: asdict(each) for modality, each in found.items()}
        emit({"drifted": drifted, **drifts, "failed": bad.reasons})
        return
    rows = [
        [
            modality,
            f"{each.n:,}",
            f"{percent(each.share)} ({percent(each.low)} to {percent(each.high)})",
            percent(each.promised),
            f"{each.statistic:.3f}",
            f"{each.p_value:.2g}",
            "drifted" if each.drifted else "as calibrated",
        ]
        for modality, each in found.items()
    ]
    table(["", "safe rows", "above the limit", "promised at most", "KS", "p", "verdict"], rows)
    for modality, each in found.items():
        screen().print(f"{modality}: {each.reason}", soft_wrap=True)
    if drifted:
        note("The promises do not hold for these data: calibrate on rows like them.")
