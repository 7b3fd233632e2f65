"""What a run leaves out: named with the rows that are lost by it, and written down."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from hyperaware.data.quadruplet import Row
from hyperaware.files import whole

__all__ = ["LEFT_OUT", "with_rows", "write_left_out"]

LEFT_OUT = "left-out.jsonl"
SHOWN = 3


def with_rows(reasons: Mapping[str, str], rows: Iterable[Row]) -> dict[str, str]:
    """The reasons by what they are of; those of a picture also name the rows that are lost by it."""
    ids: dict[str, list[str]] = {}
    for row in rows:
        for path in {str(row.safe_image), str(row.unsafe_image)} & reasons.keys():
            ids.setdefault(path, []).append(row.id)
    found = dict(reasons)
    for path, lost in ids.items():
        more = f" and {len(lost) - SHOWN:,} more" if len(lost) > SHOWN else ""
        found[path] += f" (row {', '.join(lost[:SHOWN])}{more})"
    return found


def write_left_out(folder: Path, reasons: Mapping[str, str]) -> None:
    """Writes left-out.jsonl into a folder: of each row or picture where it is, and why; no file for none."""
    path = folder / LEFT_OUT
    if not reasons:
        path.unlink(missing_ok=True)
        return
    lines = [json.dumps({"where": where, "why": why}, ensure_ascii=False) for where, why in reasons.items()]
    with whole(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
