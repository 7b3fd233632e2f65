"""What cannot be used: refused, or left out; named with the rows that are lost by it, and written down."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hyperaware.data.quadruplet import Row
from hyperaware.errors import DataError
from hyperaware.files import whole

__all__ = ["LEFT_OUT", "Unusable", "with_rows", "write_left_out"]

LEFT_OUT = "left-out.jsonl"
SHOWN = 3


@dataclass
class Unusable:
    """What of the rows that were given cannot be used, where something is promised of all of them.

    It is refused, so that no promise rests on a part silently; or left out, where that is said.
    """

    leave_out: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    """Of each row or picture where it is, and why."""

    def settle(self, unread: Iterable[tuple[str, str]], rows: Sequence[Row]) -> None:
        """Enter pictures that cannot be read, and go on only if what is entered may be left out.

        Raises:
            DataError: something is entered and may not; the message tells the first ones.
        """
        self.reasons |= with_rows(dict(unread), rows)
        if self.reasons and not self.leave_out:
            first = "; ".join(f"{where}: {why}" for where, why in list(self.reasons.items())[:SHOWN])
            more = f"; and {len(self.reasons) - SHOWN:,} more" if len(self.reasons) > SHOWN else ""
            raise DataError(
                f"{len(self.reasons):,} rows or pictures cannot be used: {first}{more}. Nothing is measured, "
                "for a promise must not silently rest on a part of what was given. Mend or remove them "
                "(`hyperaware data check SOURCE` tells of each), or leave them out with --leave-out-bad."
            )


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
