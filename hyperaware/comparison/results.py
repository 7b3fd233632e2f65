"""What a comparison found: one `Entry` for each method, with its runs, and studies of one method's settings.

It is made by `comparison.runner` from a run folder, drawn by `comparison.report`, and judged by
`comparison.claims`. Nothing here computes a figure: figures are those of `evaluation.protocols`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.evaluation.runs import Run, Spread, spread_of
from hyperaware.moderation.bounds import Bounds

__all__ = ["Comparison", "Entry", "Retrieved", "ShownItem", "Side", "Study", "Variant"]

Side = Literal["safe", "unsafe"]


@dataclass(frozen=True)
class ShownItem:
    """One picture among the first of a query."""

    row: str
    """Id of the row that it belongs to."""
    side: Side
    """Which picture of that row it is."""
    unsafe: bool
    """Its label; the generated picture of a row may have come out safe."""
    path: Path
    caption: str


@dataclass(frozen=True)
class Retrieved:
    """The first pictures that one text query found, among the safe and the unsafe pictures of all rows."""

    row: str
    """Id of the row whose text was asked."""
    text: str
    unsafe: bool
    """Whether the query asks for something unsafe."""
    redirected: bool
    """Whether the model's redirect was in force."""
    hits: tuple[ShownItem, ...]


@dataclass(frozen=True)
class Entry:
    """One method, over the seeds that it was run with."""

    name: str
    """As it is spelled in `--methods`."""
    title: str
    paper: str
    """Where the method comes from: "arXiv 2503.12127", or "ours"."""
    made: str
    """In a sentence: trained how long from what, or edited."""
    seconds: float
    """Mean time that making one model took; 0 where nothing was made."""
    runs: tuple[Run, ...]
    """One for each seed, all on the same rows."""
    outcomes: Mapping[str, Tensor]
    """Figure -> per-row outcome, (n,) float64, the mean over seeds; NaN in rows that do not ask.

    Row i is the same example in all entries of a comparison."""
    distances: Mapping[str, Tensor]
    """Class -> distances to the root, (some rows,), of the first seed.

    Without a root: to the point of the empty text, which stands in for it (as in HySAC, Figure 2)."""
    bounds: Bounds | None
    """Of the first seed; None for a model without a root."""
    retrieved: tuple[Retrieved, ...]
    """The same queries for all entries, by the first seed.

    An unsafe query of a model with bounds is there twice: as it was asked, and redirected."""

    @property
    def redirects(self) -> bool:
        """Whether there is a redirect, so that figures as served differ from raw ones."""
        return self.bounds is not None

    def spread(self, key: str) -> Spread | None:
        """The figure over seeds; None where the method has no such figure."""
        values = [float(run.figures[key]) for run in self.runs if key in run.figures]
        return spread_of(values) if len(values) == len(self.runs) else None

    def served(self, raw: str, redirected: str) -> str:
        """Of two keys the one that tells what a user gets: the redirected one where there is a redirect."""
        return redirected if self.redirects else raw


@dataclass(frozen=True)
class Variant:
    """One line of a study: a method with other settings."""

    label: str
    value: float | None
    """Of the setting that a study sweeps; None where it does not sweep a number."""
    entry: Entry


@dataclass(frozen=True)
class Study:
    """Settings of one method side by side, such as HySAC's table 3 or its table 10."""

    name: str
    """A protocol's name: aperture-sweep, loss-ablation, ..."""
    title: str
    source: str
    """Paper and table."""
    swept: str | None
    """What is on the axis, such as "aperture scale"; None where it is no number."""
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that a report shows."""

    settings: Mapping[str, Any]
    """What was asked for, after defaults: resolved-config.json."""
    manifest: Mapping[str, Any]
    """Command, versions, machine, code version, times: manifest.json."""
    data: str
    rows: int
    entries: tuple[Entry, ...]
    studies: tuple[Study, ...]

    def entry(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            ConfigError: there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise ConfigError(
            f"the comparison has no {name!r}; it has {', '.join(entry.name for entry in self.entries)}."
        )
