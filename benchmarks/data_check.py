"""Reading and checking data as large as ViSU-Text: 165,000 rows, 330,000 files of pictures.

    python -m benchmarks.data_check [ROWS]

The files are hard links to some thousand small JPEGs, made here, so 2 GB on the disk are enough. Each form is
read in a process of its own; its peak memory is told, and what it holds before it begins (the imports).
`check` reads and hashes each file, and decodes each content once; so that decoding is measured as well, the
last line is a check of rows whose pictures are all different. Shards have fewer rows, for their pictures are
copied: each has bytes of its own. Only a run of all rows is written to results/.
"""

import csv
import io
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import in_new_process, peak_memory, write_result
from hyperaware.terminal import table

ROWS, CONTENTS, DIFFERENT = 165_000, 2_000, 5_000
SHARDED, SHARD = 30_000, 1_000
"""Rows in webdataset shards, and in each shard."""
SIZE = (320, 240)
"""Half as wide and high as COCO's pictures."""
MEMORY = 2 * 2**30
"""What a check of all rows may hold at most."""


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Different JPEGs: coarse noise, made large."""
    folder.mkdir(parents=True)
    generator, paths = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=85)
    return paths


def rows(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        images = {f"{side}_image": f"{number // 1000}/{number}-{side}.jpg" for side in ("safe", "unsafe")}
        texts = {
            f"{side}_text": f"{side} caption number {number} of some words" for side in ("safe", "unsafe")
        }
        split = ("train", "train", "train", "validation", "test")[number % 5]
        yield {"id": f"row-{number}", "split": split, **texts, **images, "category": "violence"}


def write_all(folder: Path, count: int) -> None:
    """The same rows as captions.jsonl, CSV, parquet and in ViSU-Text's columns, and their pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    contents = write_pictures(folder / "contents", CONTENTS)
    (folder / "coco").mkdir()
    (folder / "mine").mkdir()
    with open(folder / "captions.jsonl", "w") as lines, open(folder / "mine.csv", "w", newline="") as cells:
        writer = csv.DictWriter(cells, list(next(rows(1))))
        writer.writeheader()
        visu = []
        for number, row in enumerate(rows(count)):
            lines.write(json.dumps(row) + "\n")
            writer.writerow(row)
            if number % 1000 == 0:
                (folder / str(number // 1000)).mkdir()
            for shift, side in enumerate(("safe", "unsafe")):
                os.link(contents[(2 * number + shift) % len(contents)], folder / row[f"{side}_image"])
            os.link(folder / row["safe_image"], folder / "coco" / f"{number:012d}.jpg")
            os.link(folder / row["unsafe_image"], folder / "mine" / f"{number}.jpg")
            text = {"safe": row["safe_text"], "nsfw": row["unsafe_text"], "coco_id": number}
            visu.append({"incremental_id": number, **text, "tag": "hate", "prompt_id": 0})
    (folder / "ViSU-Text_train.json").write_text(json.dumps(visu))
    pq.write_table(pa.Table.from_pylist(list(rows(count))), folder / "mine.parquet")
    write_shards(folder / "shards", contents, min(count, SHARDED))
    different = write_pictures(folder / "different" / "pictures", 2 * DIFFERENT)
    with open(folder / "different" / "captions.jsonl", "w") as lines:
        for number, row in enumerate(rows(DIFFERENT)):
            images = {
                f"{side}_image": f"pictures/{different[2 * number + k].name}"
                for k, side in enumerate(("safe", "unsafe"))
            }
            lines.write(json.dumps(row | images) + "\n")


def write_shards(folder: Path, contents: list[Path], count: int) -> None:
    """Webdataset shards of `count` rows. Behind the end of each picture stands its number, which no decoder
    reads: so all contents are different."""
    folder.mkdir()
    pictures = [path.read_bytes() for path in contents]
    for start in range(0, count, SHARD):
        with tarfile.open(folder / f"train-{start // SHARD:06d}.tar", "w") as tar:
            for number, row in enumerate(rows(min(SHARD, count - start)), start=start):
                for shift, side in enumerate(("safe", "unsafe")):
                    own = 2 * number + shift
                    picture = pictures[own % len(pictures)] + own.to_bytes(4, "big")
                    add(tar, f"{number}.{side}.jpg", picture)
                    add(tar, f"{number}.{side}.txt", row[f"{side}_text"].encode())


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def measured(source: str, what: str) -> dict[str, Any]:
    """Seconds, peak bytes and rows of one reading or check, in this process."""
    from hyperaware.data.check import check
    from hyperaware.data.sources import scan

    before = peak_memory()
    work: dict[str, Callable[[], int]] = {
        "scan": lambda: len(scan(source).rows),
        "check": lambda: check([scan(source)]).rows,
    }
    start = time.perf_counter()
    count = work[what]()
    seconds = time.perf_counter() - start
    return {"rows": count, "seconds": seconds, "bytes_before": before, "peak_bytes": peak_memory()}


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        write_all(folder, count)
        print(f"written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        sources = {
            "captions.jsonl": folder,
            "csv": folder / "mine.csv",
            "parquet": folder / "mine.parquet",
            "visu": f"visu:{folder / 'ViSU-Text_train.json'}?coco={folder / 'coco'}&unsafe={folder / 'mine'}",
        }
        work = {f"scan {form}": (str(source), "scan") for form, source in sources.items()}
        shards = f"webdataset:{folder / 'shards'}?cache={folder / 'cache'}"
        work["scan webdataset"] = work["scan webdataset again"] = (shards, "scan")
        work["check captions.jsonl"] = (str(folder), "check")
        work["check, all different"] = (str(folder / "different"), "check")
        found = {
            what: in_new_process("benchmarks.data_check", "--measure", *words) for what, words in work.items()
        }
    lines = [
        [
            what,
            f"{each['rows']:,}",
            f"{each['seconds']:.1f} s",
            *(f"{each[key] / 2**20:,.0f} MiB" for key in ("bytes_before", "peak_bytes")),
        ]
        for what, each in found.items()
    ]
    table(["", "rows", "time", "before", "peak memory"], lines)
    if count != ROWS:
        return
    passed = all(each["peak_bytes"] <= MEMORY for each in found.values())
    document = {
        "rows": count,
        "contents": CONTENTS,
        "picture": list(SIZE),
        "measured": found,
        "passed": passed,
    }
    print(f"Written: {write_result('data_check', document)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measured(sys.argv[2], sys.argv[3])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
