"""`hyperaware compare`: methods side by side on one protocol, as a run folder; or two run folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyperaware.cli.parameters import Json, World, world_cache
from hyperaware.errors import ConfigError, TrainingError
from hyperaware.terminal import Bars, emit, note, screen

if TYPE_CHECKING:
    from hyperaware.comparison.results import Comparison

__all__ = ["compare"]

NONE = "none"

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="One run folder: its report anew. Two: their differences, into --out.",
    ),
]
Methods = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Methods, recipes (TOML files) and models' folders, with commas between. "
        "[default: clip, safe-clip, safer-clip, shield-clip, meru, hycoclip, hysac, hysac-ordered, uwm]",
    ),
]
Studies = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Studies of one method's settings, with commas between, or none. "
        "[default: aperture-sweep, loss-ablation, geometry, shield-clip-weights]",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        metavar="world|SOURCE",
        help="A source needs rows of the splits train, validation, calibration, test.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Models at a time, one core each. [default: as many as there are cores]", min=1
    ),
]
AnyCode = Annotated[
    bool,
    typer.Option(
        "--any-code", help="Take models that another version of the code made; the manifest names it."
    ),
]


def compare(
    runs: Runs = None,
    methods: Methods = None,
    studies: Studies = None,
    data: Data = "world",
    base: Annotated[
        str, typer.Option(metavar="MODEL", help="The CLIP-like model that all methods start from.")
    ] = "world",
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Each method is made this often; studies once.")
    ] = 3,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Training steps. Fewer are cheaper. [default: each recipe's]"),
    ] = None,
    train_rows: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rows to train on. [default: 16000 of the world, a whole folder]"),
    ] = None,
    test_rows: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rows to measure on. [default: 1000 of the world, a whole folder]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder.")] = None,
    any_code: AnyCode = False,
    jobs: Jobs = None,
    world: World = None,
    json: Json = False,
) -> None:
    """Put methods side by side: make and measure their models alike.

    DIR then holds report.html, metrics.json, predictions.jsonl, manifest.json and resolved-config.json, and
    the models in cells/. Interrupted, the same command goes on where it stopped; what is there already is not
    made again as long as settings, data and code are the same. A model that cannot be made is named and left
    out: the exit code is then 1.
    """
    if runs:
        if methods is not None or len(runs) > 2 or (out is not None and len(runs) == 1):
            raise ConfigError("give one run folder, or two and --out if you like, or --out for a new one.")
        if len(runs) == 1:
            _render(runs[0], json=json)
        else:
            _differ(runs[0], runs[1], out, json=json)
        return
    if out is None:
        raise ConfigError("a comparison needs a folder: give --out DIR, or the run folders to show.")
    from hyperaware.comparison.contenders import DEFAULT, STUDIES
    from hyperaware.comparison.runner import Request
    from hyperaware.comparison.runner import compare as run

    request = Request(
        methods=_words(methods, DEFAULT),
        studies=_words(studies, tuple(STUDIES)),
        data=data,
        base=base,
        seeds=seeds,
        steps=steps,
        train_rows=train_rows,
        test_rows=test_rows,
    )
    with Bars() as bars:
        comparison = run(
            request, out, world=world_cache(world), jobs=jobs, any_code=any_code, progress=bars, note=note
        )
    _report(comparison, out, json=json)
    failed = [told["failed"] for told in comparison.manifest["cells"].values() if "failed" in told]
    if failed:
        raise TrainingError(
            f"{len(failed)} models could not be made; they are in no figure. First: {failed[0]}"
        )


def _words(given: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return default
    return tuple(word.strip() for word in given.split(",") if word.strip() and word.strip() != NONE)


def _render(run: Path, *, json: bool) -> None:
    from hyperaware.comparison.runner import rendered

    _report(rendered(run), run, json=json)


def _differ(first: Path, second: Path, out: Path | None, *, json: bool) -> None:
    from hyperaware.comparison.difference import difference, difference_table, html, markdown
    from hyperaware.comparison.folder import read_comparison
    from hyperaware.files import whole

    found = difference(read_comparison(first), read_comparison(second))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (("difference.html", html(found)), ("difference.md", markdown(found))):
            with whole(out / name) as partial:
                partial.write_text(text, encoding="utf-8")
    if json:
        emit(found.document())
        return
    screen().print(difference_table(found))
    if out is not None:
        screen().print(f"\nWritten: {out / 'difference.html'}, {out / 'difference.md'}", soft_wrap=True)


def _report(comparison: "Comparison", out: Path, *, json: bool) -> None:
    from hyperaware.comparison.runner import REPORT

    if json:
        emit({"run": str(out), "report": str(out / REPORT), "manifest": comparison.manifest})
        return
    from hyperaware.comparison.summary import summary_table

    screen().print(summary_table(comparison))
    screen().print(f"\nThe report is {out / REPORT}", soft_wrap=True)
