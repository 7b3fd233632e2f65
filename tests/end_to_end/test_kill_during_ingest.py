"""kill -9 at any moment of an ingest, and run it again: nothing lost, nothing double, the same bits.

This file is also the program whose children get killed: it imports once and forks a process for each ingest,
so that a test of many kills pays for one start of torch.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hyperaware.geometry.space import Lorentz
from hyperaware.index.ingest import Report, ingest
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.media.images import content_hash

PICTURES, BATCH = 150, 8
KILLS = 5


class SlowMeans:
    """The lift of a picture's mean colours in a 3 x 3 grid, after a while."""

    fingerprint = "slow-means"
    space = Lorentz(1.0)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def encode_image(self, images: Sequence[Image.Image]) -> Tensor:
        time.sleep(self.seconds)
        grids = [np.asarray(image.resize((3, 3), Image.Resampling.BOX), dtype=np.float32) for image in images]
        return self.space.lift(torch.from_numpy(np.stack(grids)).reshape(len(images), -1) / 255)


def run(folder: Path, index: Path, seconds: float, *, aloud: bool = False) -> Report:
    def progress(done: int, total: int, failed: int) -> None:
        if aloud:
            print(done, flush=True)

    model = SlowMeans(seconds)
    with SQLiteStore(index, space=model.space, model_fingerprint=model.fingerprint) as store:
        return ingest(store, model, folder, batch_size=BATCH, progress=progress)


def rows(index: Path) -> dict[str, tuple]:
    """Every row of the items table without its times, by path, read past our own code."""
    database = sqlite3.connect(index / "index.sqlite")
    try:
        database.execute("PRAGMA busy_timeout = 10000")
        found = database.execute(
            "SELECT path, id, modality, caption, content_hash, vector, score, state, reason FROM items"
        ).fetchall()
        assert len({row[0] for row in found}) == len(found), "an item is there twice"
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        database.close()
    return {row[0]: row[1:] for row in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = noise.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    (folder / "077.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    index = tmp_path_factory.mktemp("uninterrupted")
    report = run(folder, index, seconds=0)
    assert (report.added, len(report.failed)) == (PICTURES - 1, 1)
    return rows(index)


class Nursery:
    """The program at the end of this file: ingests in processes of their own, to be killed."""

    def __init__(self) -> None:
        self.program = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def killed_run(self, folder: Path, index: Path, *, batches: int, delay: float) -> int:
        """Kill an ingest `delay` seconds after it did `batches` batches; how many files it said are done."""
        words, answers = self.program.stdin, self.program.stdout
        assert words is not None
        assert answers is not None
        words.write(f"{folder}\n{index}\n")
        words.flush()
        child = int(answers.readline())
        done, seen = 0, 0
        while seen < batches:
            before, done = done, int(answers.readline())
            seen += done - before > 1  # unchanged pictures are told one by one, batches as a step
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        for line in answers:  # what it still said before it died, and what it died of
            if line.startswith("exit"):
                assert line.split() == ["exit", str(-signal.SIGKILL)], "it ended before it could be killed"
                break
            done = int(line)
        return done

    def close(self) -> None:
        self.program.communicate()
        assert self.program.returncode == 0


def nurse() -> None:
    """For each folder and index on stdin: fork an ingest, tell its number, and at last how it ended."""
    while folder := sys.stdin.readline().strip():
        index = sys.stdin.readline().strip()
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            run(Path(folder), Path(index), 0.05, aloud=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("exit", os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)  # taking torch down in order takes seconds


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def test_killed_again_and_again_nothing_is_lost_and_nothing_double(
    nursery: Nursery, folder: Path, uninterrupted: dict[str, tuple], tmp_path: Path
) -> None:
    index = tmp_path / "index"
    paths = sorted(uninterrupted)
    moments = random.Random(0)
    before: dict[str, tuple] = {}
    for _ in range(KILLS):
        batches, delay = moments.randint(1, 2), moments.uniform(0, 0.06)
        said = nursery.killed_run(folder, index, batches=batches, delay=delay)
        after = rows(index)
        assert all(after[path] == row for path, row in before.items()), "a committed row was lost or changed"
        assert set(paths[:said]) <= set(after), "a row was reported as committed and is not there"
        assert len(after) > len(before), "nothing was committed between two kills"
        assert all(uninterrupted[path] == row for path, row in after.items())
        before = after
    assert len(before) < PICTURES  # the premise: every run was killed on its way

    report = run(folder, index, seconds=0)
    assert report.added == PICTURES - len(before) - ("077.png" not in before)
    assert report.updated == 0
    assert report.unchanged == len(before) - ("077.png" in before)
    assert [path for path, _ in report.failed] == ["077.png"]
    assert rows(index) == uninterrupted

    model = SlowMeans(0)
    with SQLiteStore(index, space=model.space, model_fingerprint=model.fingerprint) as store:
        assert store.verify() == []
        assert store.search(torch.zeros(1, 27), k=999, modality="image", max_score=None)[0][0].path in paths


def test_killed_while_files_change_every_item_stays_whole(
    nursery: Nursery, folder: Path, tmp_path: Path
) -> None:
    """Hash and vector of an item are of the same bytes, old or new, and the next run finishes the update."""
    changing, index = tmp_path / "changing", tmp_path / "index"
    changing.mkdir()
    for number in range(64):
        (changing / f"{number:03}.png").write_bytes((folder / f"{number:03}.png").read_bytes())
    run(changing, index, seconds=0)
    old = rows(index)
    for number in range(64):
        (changing / f"{number:03}.png").write_bytes((folder / f"{number + 80:03}.png").read_bytes())
    nursery.killed_run(changing, index, batches=3, delay=0.02)
    fresh = tmp_path / "fresh"
    run(changing, fresh, seconds=0)
    new = rows(fresh)
    half = rows(index)
    assert all(half[path] in (old[path], new[path]) for path in old)
    assert {half[path] == new[path] for path in old} == {True, False}
    report = run(changing, index, seconds=0)
    assert report.updated == sum(half[path] == old[path] for path in old)
    assert rows(index) == new
    assert all(row[3] == content_hash(changing / path) for path, row in new.items())


if __name__ == "__main__":
    nurse()
