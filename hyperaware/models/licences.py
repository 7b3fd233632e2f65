"""Licences of published checkpoints: a table, what a folder says of itself, and what was accepted here.

Weights under a non-commercial licence are only fetched, or loaded by their name on the Hub, after the caller
has accepted that licence by its name. An acceptance is kept, so that it need not be repeated.
"""

import json
import re
import sys
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from hyperaware.errors import ConfigError
from hyperaware.files import whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "OTHER",
    "UNKNOWN",
    "Known",
    "known",
    "licence_of",
    "non_commercial",
    "remember",
    "require_accepted",
    "stated",
    "strictest",
]

UNKNOWN = "unknown"
OTHER = "other"
"""On the Hub: the name stands in `license_name`."""
STATED = re.compile(r"^[ \t]*license(?:_name)?:(.*(?:\n[ \t]*-(?!--).*)*)", re.MULTILINE)
"""The rest of a line, with the lines of a list."""
NAME = re.compile(r"\w[\w.+-]*")
RESTRICTED = re.compile(r"(?:^|[-_.])(?:nc|noncommercial|research|amlr)(?:[-_.]|$)|non-commercial")


@dataclass(frozen=True)
class Known:
    """A row of `known.toml`."""

    name: str
    what: str
    licence: str
    source: str
    """Where the licence was read."""
    base: str | None = None
    """The checkpoint whose tokenizer and preprocessing it uses."""
    files: tuple[str, ...] = ()
    """Its files, where they are not those of a transformers folder."""
    loads: bool = True
    """Whether `load("hf:NAME")` works; otherwise its files are imported."""


@cache
def known() -> dict[str, Known]:
    """The checkpoints that are known by name."""
    text = (Path(__file__).parent / "known.toml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = tomllib.loads(text)
    return {
        name: Known(name=name, **{**row, "files": tuple(row.get("files", ()))}) for name, row in rows.items()
    }


def stated(readme: str) -> str:
    """The licence that a model card states, in its head or in its text; "unknown" without one.

    >>> stated("---\\nlicense: MIT\\n---\\n# A model")
    'mit'
    >>> stated("# A model without a head\\n\\nlicense: cc-by-nc-4.0\\n")
    'cc-by-nc-4.0'
    >>> stated("# A model")
    'unknown'
    >>> stated("---\\nlicense: other\\nlicense_name: apple-amlr-research\\n---\\n")
    'apple-amlr-research'
    >>> stated("---\\nlicense:\\n- mit\\n- cc-by-nc-4.0\\n---\\n")
    'cc-by-nc-4.0'
    """
    names = []
    for value in STATED.findall(readme):
        found = NAME.findall(value)
        names += found if "\n" in value or value.lstrip().startswith("[") else found[:1]
    return strictest(names)


def strictest(license: Any, name: Any = None) -> str:
    """The licence of a card's `license` and `license_name`: of a list, the one that forbids most.

    >>> strictest(["mit", "cc-by-nc-4.0"])
    'cc-by-nc-4.0'
    >>> strictest("other", "My-Terms")
    'my-terms'
    >>> strictest(None)
    'unknown'
    """
    given = [*(license if isinstance(license, list) else [license]), name]
    names = [str(each).lower() for each in given if each]
    known_ones = [each for each in names if each != OTHER]
    return next((each for each in known_ones if non_commercial(each)), (known_ones or names or [UNKNOWN])[0])


def licence_of(name: str, folder: Path | None) -> str:
    """The licence of a checkpoint: the table's, or what its card states if that is the stricter one."""
    row = known().get(name)
    card = folder / "README.md" if folder is not None else None
    says = stated(card.read_text(encoding="utf-8", errors="replace")) if card and card.is_file() else UNKNOWN
    if row is None:
        return says
    return says if non_commercial(says) and not non_commercial(row.licence) else row.licence


def non_commercial(licence: str) -> bool:
    """Whether a licence, by its name, forbids commercial use.

    >>> [non_commercial(name) for name in ("cc-by-nc-4.0", "apple-research", "mit", "openrail", "unknown")]
    [True, True, False, False, False]
    """
    return RESTRICTED.search(licence.lower()) is not None


def require_accepted(name: str, licence: str, *, accepted: str | None, record: Path) -> None:
    """Refuses a non-commercial checkpoint whose licence was not accepted, now or before.

    Raises:
        ConfigError: not accepted, or another licence was accepted than the checkpoint has.
    """
    if accepted is not None and accepted.lower() != licence:
        raise ConfigError(f"{name} stands under {licence!r}, not {accepted!r}: read it, and name it so.")
    if not non_commercial(licence) or accepted is not None or _remembered(record).get(name) == licence:
        return
    raise ConfigError(
        f"{name} stands under {licence}, which forbids commercial use. If that suits you: "
        f'--accept-license {licence}, or load(..., accept_license="{licence}").'
    )


def remember(name: str, licence: str, *, record: Path) -> None:
    """Keep an acceptance, with its date, in the file `record`."""
    rows = _read(record) | {name: {"licence": licence, "accepted": date.today().isoformat()}}
    record.parent.mkdir(parents=True, exist_ok=True)
    with whole(record) as partial:
        partial.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _remembered(record: Path) -> dict[str, str]:
    return {name: row["licence"] for name, row in _read(record).items()}


def _read(record: Path) -> dict[str, Any]:
    if not record.is_file():
        return {}
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfigError(f"{record} is damaged ({error}). Remove it and accept again.") from error
