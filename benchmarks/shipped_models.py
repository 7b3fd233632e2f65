"""Train the shipped models for several seeds, measure them on the test splits, write the tables, ship one.

    python -m benchmarks.shipped_models                     # seeds 0 1 2; on 2 cores about an hour
    python -m benchmarks.shipped_models --ship 0            # and copy seed 0 into the package
    python -m benchmarks.shipped_models --calibrate         # only calibrate the models in the package anew

Runs are kept in runs/shipped and go on where they stopped. Nothing here looks at a test split before the end:
settings were chosen on `validation`, bounds come from `calibration`, landings from `validation`.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from hyperaware.calibrate import calibrate
from hyperaware.data.folder import read_folder
from hyperaware.evaluation.report import MAIN, Column, markdown, scope_lines
from hyperaware.evaluation.runs import Run, mean_and_spread, measurement, read_run
from hyperaware.models.card import card
from hyperaware.models.pretrained import SHIPPED, load, load_folder, save, shipped_folder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.recipes import measure_bounds, read_recipe
from hyperaware.world import export

RESULTS = Path(__file__).parent / "results"
TESTS = {"test": 1000, "test_concepts": 600, "test_style": 600, "test_dual_use": 600}
HEADINGS = {
    "test": "Unseen compositions (`test`)",
    "test_concepts": "Harmful concepts that fine-tuning never labels (`test_concepts`)",
    "test_style": "Free placement, another drawing style (`test_style`)",
    "test_dual_use": "Objects that are safe in one scene and harmful in another (`test_dual_use`)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped"), help="where models are trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument(
        "--ship", type=int, metavar="SEED", help="copy the models of this seed into the package"
    )
    parser.add_argument(
        "--calibrate", action="store_true", help="only calibrate the models in the package anew"
    )
    arguments = parser.parse_args()
    if arguments.calibrate:
        for recipe in SHIPPED:
            if load(recipe).space.has_root:
                add_calibration(recipe, arguments.runs / "world-cache")
                write_checksums(shipped_folder(recipe))
        return
    train_all(arguments.seeds, arguments.runs, jobs=arguments.jobs)
    runs = [
        measured(recipe, seed, split, arguments.runs)
        for split in TESTS
        for recipe in SHIPPED
        for seed in arguments.seeds
    ]
    (RESULTS / "shipped_models.md").write_text(page(runs))
    if arguments.ship is not None:
        for recipe in SHIPPED:
            ship(recipe, arguments.ship, arguments.runs)


def train_all(seeds: list[int], runs: Path, *, jobs: int) -> None:
    """Every recipe for every seed: first the bases, then what starts from them."""
    base, *others = SHIPPED
    with ThreadPoolExecutor(jobs) as pool:
        bases = {seed: pool.submit(train, base, seed, runs) for seed in seeds}

        def follow(recipe: str, seed: int) -> None:
            bases[seed].result()
            train(recipe, seed, runs)

        for future in [pool.submit(follow, recipe, seed) for seed in seeds for recipe in others]:
            future.result()


def train(recipe: str, seed: int, runs: Path) -> None:
    """Run the recipe's command, unless its model is finished."""
    folder = runs / f"{recipe}-seed{seed}"
    if (folder / "model.safetensors").is_file() and (recipe == "world" or (folder / "bounds.json").is_file()):
        return
    words = ["train", recipe, "--out", str(folder), "--seed", str(seed), "--world", str(runs / "world-cache")]
    if recipe != "world":
        words += ["--base", str(runs / f"world-seed{seed}")]
    subprocess.run([sys.executable, "-m", "hyperaware.cli", *words], check=True)


def measured(recipe: str, seed: int, split: str, runs: Path) -> Run:
    """The run of a trained model on a test split; kept as JSON and measured once for each model."""
    model = load(runs / f"{recipe}-seed{seed}")
    path = RESULTS / "shipped" / f"{recipe}-seed{seed}-{split}.json"
    if path.is_file() and (run := read_run(path)).model_fingerprint == model.fingerprint:
        return run
    rows = export(runs / "world-cache" / f"{split}-0-{TESTS[split]}", count=TESTS[split], split=split)
    bounds = bounds_module.load(model.folder) if model.space.has_root and model.folder else None
    run = measurement(model, rows, data=f"world:{split}", bounds=bounds).run
    run.save(path)
    print(f"measured {path.stem}", file=sys.stderr)
    return run


def page(runs: list[Run]) -> str:
    """All tables, as Markdown: for each split the main figures, then the separation by category and slice."""
    first = runs[0]
    parts = [
        "# The shipped models\n\nMade by `python -m benchmarks.shipped_models`; do not edit. "
        f"{first.machine}; torch {first.versions['torch']}; {first.date[:10]}. "
        "Mean ± sample standard deviation over training seeds, and the range. "
        "Everything is measured in the embedded world and says nothing about photographs.\n"
    ]
    for split, heading in HEADINGS.items():
        columns = [
            Column(name, mean_and_spread([run for run in runs if (run.model, run.split) == (name, split)]))
            for name in SHIPPED
        ]
        columns += [
            Column(f"{column.title}, redirected", column.figures, "redirected") for column in columns[1:]
        ]
        parts.append(f"\n## {heading}\n\n{TESTS[split]} quadruplets.\n\n{markdown(columns, MAIN)}")
        scopes = scope_lines(columns[1 : len(SHIPPED)])
        parts.append(f"\n{markdown(columns[1 : len(SHIPPED)], scopes)}")
    return "".join(parts)


def ship(recipe: str, seed: int, runs: Path) -> None:
    """Write the model into the package: half precision, bounds measured anew, checksums."""
    folder = shipped_folder(recipe)
    shutil.rmtree(folder, ignore_errors=True)
    model = load(runs / f"{recipe}-seed{seed}")
    made = read_recipe(recipe)
    model.provenance |= {"shipped": True, "base": made.base, "rows": made.train.name}
    save(model, folder, dtype=torch.float16)
    shipped, cache, bounds = load(folder), runs / "world-cache", None
    if shipped.space.has_root:
        bounds = measure_bounds(
            shipped,
            calibration=read_folder(cache / "calibration-0-1000"),
            validation=read_folder(cache / "validation-0-600"),
        )
        bounds.save(folder)
        add_calibration(recipe, cache)
        bounds = bounds_module.load(folder)
    rows = read_folder(cache / f"test-0-{TESTS['test']}")
    figures = measurement(shipped, rows, data="world:test", bounds=bounds).run.figures
    keys = [line.key for lines in MAIN.values() for line in lines if line.key in figures]
    shown = {f"{key} (world:test)": figures[key] for key in keys}
    (folder / "README.md").write_text(card(shipped, figures=shown))
    write_checksums(folder)


def add_calibration(recipe: str, cache: Path) -> None:
    """Write `calibration.json` of a shipped model and its bounds, which keep their landings, together.

    Together, because the last digit of a root distance depends on the machine, and the two must agree.
    """
    folder = shipped_folder(recipe)
    rows = export(cache / "calibration-0-1000", count=1000, split="calibration")
    earlier = bounds_module.load(folder)
    made = calibrate(load_folder(folder), rows, domain_by="slice", bounds=earlier)
    made.bounds.save(folder)
    made.calibration.save(folder)


def write_checksums(folder: Path) -> None:
    """Name every file of a shipped model, but the list itself, with its checksum."""
    files = [path for path in sorted(folder.iterdir()) if path.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main()
