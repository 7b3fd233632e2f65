"""`hyperaware demo`: the whole path in a minute, on pictures that are drawn there and then.

Everything that is printed is measured by this run. What is asked and traversed is the first row, and a
typical one of a category: the middle one by its root distance, not the one with the best results.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hyperaware import recipes
from hyperaware.calibrate import guarantee
from hyperaware.catalogue import FILE_NAME, own_bounds, read_reference, start_store
from hyperaware.data.quadruplet import Row
from hyperaware.evaluation import plots
from hyperaware.evaluation.protocols import root_distances
from hyperaware.evaluation.report import HEADLINE, Column, table
from hyperaware.evaluation.runs import Measurement, measurement
from hyperaware.index.ingest import ingest
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT, load
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.policy import Policy
from hyperaware.search import Answer, Searcher
from hyperaware.terminal import Bars
from hyperaware.training.headline import headline
from hyperaware.traverse import Stop, captions_to_root
from hyperaware.world import export

__all__ = ["ROWS", "Demo", "trained"]

ROWS = 200
"""Rows of the gallery: each is a safe scene and its unsafe twin."""
BASE = "world"
CATEGORY = "violence"
HITS = 6
QUICK = {"training.steps": "300", "training.evaluate_every": "100"}
QUICK_COUNTS = {"train": 4000, "validation": 200, "calibration": 600}
"""What `--train` changes in the recipe of the default model, so that it takes minutes."""


@dataclass(frozen=True)
class Demo:
    """One run of the demo."""

    out: Path
    """What it writes lies here."""
    console: Console
    """What it says goes here."""
    bars: Bars
    program: str = "hyperaware"
    """How the command line is called, for what it tells to type."""

    def run(self, model: DualEncoder | None = None) -> dict[str, Any]:
        """Show everything with `model`, or with the shipped default; returns what was measured and found."""
        rows = self.gallery()
        safe = load(DEFAULT) if model is None else model
        bounds = own_bounds(safe)
        measured = self.figures(rows, safe, bounds)
        typical = _typical(rows, measured[safe.name], safe)
        with self.index(safe) as store:
            answers = self.searches(rows, typical, Searcher(safe, store, bounds, Policy.default()))
        stops = self.traversal(rows, typical, safe)
        self.histogram(measured[safe.name], safe, bounds)
        self.farewell(safe)
        return {
            "out": str(self.out),
            "model": safe.name,
            "figures": {name: dict(each.run.figures) for name, each in measured.items()},
            "searches": [_document(answer) for answer in answers],
            "traversal": [asdict(stop) for stop in stops],
        }

    # -- the steps ---------------------------------------------------------------------------------------

    def gallery(self) -> list[Row]:
        folder = self.out / "gallery"
        self._head(f"1. A gallery of {2 * ROWS} pictures")
        with self.bars as bars:
            rows = export(folder, count=ROWS, split="test", progress=bars.of("draw"))
        self._say(
            f"{ROWS} safe scenes and their unsafe twins, drawn in {folder}. Harm is symbolic here and fit "
            f"for work. Look at {folder / 'contact-sheet.png'}."
        )
        return rows

    def figures(
        self, rows: Sequence[Row], model: DualEncoder, bounds: Bounds | None
    ) -> dict[str, Measurement]:
        self._head("2. Before and after, measured now on these pictures")
        models = {BASE: (load(BASE), None), model.name: (model, bounds)}
        with self.bars as bars:
            measured = {
                name: measurement(
                    each,
                    rows,
                    data=self.out / "gallery",
                    bounds=its_bounds,
                    progress=bars.of(f"encode for {name}"),
                )
                for name, (each, its_bounds) in models.items()
            }
        plain, figures = measured[BASE].run.figures, measured[model.name].run.figures
        columns = (
            Column("CLIP-like", plain),
            Column("HySAC", figures),
            Column("redirected", figures, "redirected"),
        )
        self.console.print(table(columns, HEADLINE))
        self._say(
            f"CLIP-like: `{BASE}`. HySAC: `{model.name}`, which has learned to put what is unsafe far from "
            "the root. Redirected: the same, and every query above the bound is moved in along its own "
            "direction, to the safe twin of what it asked for. R@1: how often the first hit is right. "
            "AUROC: 0.5 is chance."
        )
        return measured

    def index(self, model: DualEncoder) -> SQLiteStore:
        self._head("3. An index of the gallery")
        folder = self.out / "index"
        _drop_index_of_another_model(folder, model)
        store = start_store(folder, model)
        with self.bars as bars:
            bar = bars.of("index")
            report = ingest(
                store, model, self.out / "gallery", progress=lambda done, total, failed: bar(done, total)
            )
        self._say(f"{store.count} pictures in {folder}: {report.added} added, {report.unchanged} unchanged.")
        return store

    def searches(self, rows: Sequence[Row], typical: Row, searcher: Searcher) -> list[Answer]:
        self._head("4. Three searches")
        unsafe = typical.unsafe_text
        asked = ((rows[0].safe_text, "viewer"), (unsafe, "viewer"), (unsafe, "researcher"))
        answers = [searcher.search(text, role=role, k=HITS) for text, role in asked]
        labels = _labels(rows)
        for answer in answers:
            self._answer(answer, labels)
        sheet = [
            plots.SheetRow(
                answer.query, {answer.role: [_shown(hit.path, searcher, labels) for hit in answer.hits]}
            )
            for answer in answers
        ]
        self._say(
            f"\nAll hits as pictures, unsafe ones in red: {plots.sheet(sheet, self.out / 'searches.png')}"
        )
        return answers

    def traversal(self, rows: Sequence[Row], start: Row, model: DualEncoder) -> tuple[Stop, ...]:
        self._head("5. From a picture to the root")
        captions = list(dict.fromkeys(text for row in rows for text in (row.safe_text, row.unsafe_text)))
        stops = captions_to_root(
            model.encode_image(start.unsafe_image)[0],
            texts=model.encode_text(captions),
            captions=captions,
            space=model.space,
        )
        path = self.out / "gallery" / "images" / start.unsafe_image.name
        self._say(f"{path}: the captions that apply on the way in, and from which distance on.")
        unsafe = {row.unsafe_text for row in rows if row.unsafe_text_is_unsafe}
        self._list([(f"{stop.root_distance:.3f}", stop.caption, stop.caption in unsafe) for stop in stops])
        return stops

    def histogram(self, measured: Measurement, model: DualEncoder, bounds: Bounds | None) -> None:
        self._head("6. How far from the root")
        distances = root_distances(measured.points, space=model.space)
        path = plots.root_distance_histogram(
            self.out / "root-distance.png", distances, bounds=bounds, title=model.name
        )
        medians = {name: f"{float(values.median()):.3f}" for name, values in distances.items()}
        self._list([(median, name.replace("_", " "), "unsafe" in name) for name, median in medians.items()])
        self._say(f"These are medians. All distances, with the bounds that the model judges by: {path}")
        if bounds is not None:
            self._say(f"\nWhat is promised of these bounds. {guarantee(model, bounds)}")

    def farewell(self, model: DualEncoder) -> None:
        name = model.name if model.folder is None or model.name == DEFAULT else model.folder
        cannot = (
            "It knows the drawn world of this demo and nothing else: on photographs, other drawings or other "
            "words its answers mean nothing, and it does not understand negation. It is for learning and "
            "testing. For your own pictures train a model on your own pairs."
        )
        index, plots_folder = self.out / "index", self.out / "plots"
        commands = (
            f'search {index} "a rabbit with a blue cup in the snow"',
            f'search {index} "a rabbit with an axe in the snow" --role child',
            f"evaluate world {name} --plots {plots_folder}",
            f"train {DEFAULT} --out {self.out / 'mine'}",
            "serve --demo" if self.out == Path("demo") else f"serve --index {index} --no-auth",
            "--help",
        )
        self.console.print()
        self.console.print(Panel(Text(cannot), title="What this model cannot do", border_style="yellow"))
        self._head("What to type next")
        for command in commands:  # not in a panel, so that it can be copied
            self.console.print(Text(f"  {self.program} {command}"), soft_wrap=True)
        self._say(f"\nEverything that was written is in {self.out}.")

    # -- what is said ------------------------------------------------------------------------------------

    def _head(self, title: str) -> None:
        self.console.print()
        self.console.print(Text(title, style="bold cyan"))

    def _say(self, text: str) -> None:
        self.console.print(Text(text))

    def _answer(self, answer: Answer, labels: Mapping[str, bool]) -> None:
        self.console.print()
        self.console.print(Text.assemble((answer.role, "bold"), f' asks: "{answer.query}"'))
        self.console.print(Text(f"  {answer.verdict.reason}"))
        shown = [(hit.caption or hit.path, labels[Path(hit.path).name]) for hit in answer.hits[:3]]
        self._list([("unsafe" if unsafe else "safe", caption, unsafe) for caption, unsafe in shown])

    def _list(self, lines: Sequence[tuple[str, str, bool]]) -> None:
        """Lines of a short word and a text, red where they are about something unsafe."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(justify="right", min_width=8)
        grid.add_column()
        for word, text, unsafe in lines:
            grid.add_row(Text(word, style="red" if unsafe else "green"), Text(text))
        self.console.print(grid)


def _drop_index_of_another_model(folder: Path, model: DualEncoder) -> None:
    """The demo's own index is made anew where an earlier demo made it with another model."""
    if (folder / FILE_NAME).exists() and read_reference(folder).fingerprint != model.fingerprint:
        shutil.rmtree(folder)


def _typical(rows: Sequence[Row], measured: Measurement, model: DualEncoder) -> Row:
    """Of the rows of one category the one whose unsafe text has the middle root distance."""
    distances = model.space.root_distance(measured.points.unsafe_text).tolist()
    of_category = [
        (distance, row) for distance, row in zip(distances, rows, strict=True) if row.category == CATEGORY
    ]
    return sorted(of_category, key=lambda pair: pair[0])[len(of_category) // 2][1]


def _labels(rows: Sequence[Row]) -> dict[str, bool]:
    """Whether a picture is unsafe, by the name of its file."""
    labels = {row.safe_image.name: False for row in rows}
    return labels | {row.unsafe_image.name: row.unsafe_image_is_unsafe for row in rows}


def _shown(path: str, searcher: Searcher, labels: Mapping[str, bool]) -> plots.Shown:
    root = searcher.store.root
    assert root is not None, "ingest has bound the index to the gallery"
    return plots.Shown(root / path, safe=not labels[Path(path).name])


def _document(answer: Answer) -> dict[str, Any]:
    return {
        "query": answer.query,
        "role": answer.role,
        "verdict": asdict(answer.verdict),
        "hits": [hit._asdict() for hit in answer.hits],
    }


def trained(out: Path, *, world: Path, console: Console, bars: Bars, seed: int = 0) -> DualEncoder:
    """A model that is fine-tuned from `world` there and then: the default's recipe, shortened.

    Beside the bar stand the median root distances of the four classes, and the AUROC per modality.
    """
    recipe = recipes.changed(recipes.read_recipe(DEFAULT), QUICK)
    slices = {part: replace(getattr(recipe, part), count=count) for part, count in QUICK_COUNTS.items()}
    recipe = replace(recipe, base=BASE, name=f"{DEFAULT}-quick", **slices)
    steps = recipe.training.steps
    console.print(Text("0. Training", style="bold cyan"))
    about = (
        f"{steps} steps from `{BASE}` by the recipe of `{DEFAULT}`: four classes find their root distance."
    )
    console.print(Text(about))

    def report(line: dict[str, Any]) -> None:
        bars("train", min(line["step"] + 1, steps), steps, headline(line))

    with bars:
        made = recipes.run(recipe, folder=out / "model", world=world, seed=seed, report=report, progress=bars)
    console.print(Text(f"Trained {made.result.step} steps; the model is in {out / 'model'}."))
    return load(out / "model")
