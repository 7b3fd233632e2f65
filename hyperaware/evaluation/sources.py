"""Where figures come from: the protocols by name, the paper that each is taken from, what differs here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hyperaware.errors import ConfigError
from hyperaware.evaluation.keys import Figures
from hyperaware.options import unknown_name

__all__ = ["PROTOCOLS", "Protocol", "figures_of_protocols", "protocol_of", "require_protocols"]


@dataclass(frozen=True)
class Protocol:
    """One way of measuring."""

    name: str
    source: str
    """The paper, and the table in it; or that it is our own."""
    differs: str
    """What differs from the source, in one or two sentences."""
    keys: tuple[str, ...]
    """Its figures, as patterns of keys; none for a study, which trains models and measures by the others."""


_HYSAC = "HySAC (arXiv 2503.12127)"
_ALL = (
    Protocol(
        "safe-retrieval",
        f"{_HYSAC}, Table 1, columns 1 and 2",
        "Nothing but the data.",
        ("safe/*",),
    ),
    Protocol(
        "safe-redirected",
        "our own",
        "Safe queries with the redirect in force: what a false trigger costs. "
        "HySAC moves unsafe queries only.",
        ("safe-redirected/*",),
    ),
    Protocol(
        "unsafe-retrieval",
        f"{_HYSAC}, Table 2, columns 1 and 2",
        "A row asks only if its labels call both its generated parts unsafe; the paper has no labels.",
        ("unsafe/*",),
    ),
    Protocol(
        "awareness",
        f"{_HYSAC}, Table 2, columns 3 and 4",
        "Queries are as they are; the published code moves them outward first. "
        "Rows ask as in unsafe-retrieval.",
        ("awareness/*",),
    ),
    Protocol(
        "redirect",
        f"{_HYSAC}, Table 1, columns 3 and 4",
        "Raw, and redirected by a trigger of the query's and a landing of the target's modality, at exact "
        "geodesic distances; the published traversal judges by the target's bound, and lands nearer to the "
        "root than stated.",
        ("redirect/*/recall@*",),
    ),
    Protocol(
        "harmful-top-1",
        "ShieldCLIP (arXiv 2609.39688), Table 8",
        "Raw and redirected. A generated item that its label calls safe is not harmful, and does not ask.",
        ("redirect/*/harmful_top1",),
    ),
    Protocol(
        "substitute",
        "SafeR-CLIP (arXiv 2511.16743), T*->V and V*->T",
        "The gallery is safe items alone, raw and redirected. We do not know the paper's; its figures "
        "suggest that unsafe items were in it, which is our `redirect`.",
        ("substitute/*",),
    ),
    Protocol(
        "real-unsafe",
        f"{_HYSAC}, Table 4",
        "The share of unsafe first hits, where the paper has that of safe ones. The gallery is another data "
        "set, ten safe items to one unsafe; we do not know the paper's sizes.",
        ("real-unsafe/*",),
    ),
    Protocol(
        "by-category",
        f"{_HYSAC}, Table 8",
        "The pool of a category is its own rows, raw and redirected; we do not know the paper's.",
        ("by-category/*",),
    ),
    Protocol(
        "classification",
        f"{_HYSAC}, Tables 5 and 6",
        "Threshold and probability are fitted on calibration points; the paper chooses a threshold per test "
        "set, of which one has no safe item, and its rates are not rates within their class.",
        ("classification/*",),
    ),
    Protocol(
        "separation",
        f"our own, beside {_HYSAC}, Tables 5 and 6",
        "AUROC, AP and FPR at 95 % TPR of the root distance, which need no threshold; by category and slice.",
        ("separation/*",),
    ),
    Protocol(
        "blocking",
        "our own",
        "The errors of the bounds that searches are judged by; on dual-use rows, the over-blocking rate.",
        ("blocking/*",),
    ),
    Protocol(
        "root-distance",
        f"{_HYSAC}, Figure 2",
        "Quantiles, where the paper draws histograms; generated items labelled safe count as safe.",
        ("root_distance/*",),
    ),
    Protocol(
        "safeground",
        "SafeGround (arXiv 2503.11742)",
        "Similarity is that of the model's space; a row counts if both its generated parts are unsafe.",
        ("safeground/*",),
    ),
    Protocol(
        "zero-shot",
        f"CLIP (arXiv 2103.00020), prompt ensembles; {_HYSAC}, Table 7",
        "Classes are the phrases of the rows' boxes, pictures their safe ones, and every thing in a picture "
        "is right; the papers have data sets with one class for each picture.",
        ("zero-shot/*",),
    ),
    Protocol(
        "aperture-sweep",
        f"{_HYSAC}, Table 10",
        "A study: `hyperaware compare` trains a model for each aperture scale, on other data.",
        (),
    ),
    Protocol(
        "loss-ablation",
        f"{_HYSAC}, Table 3",
        "A study: `hyperaware compare` trains a model for each left-out loss, on other data.",
        (),
    ),
    Protocol(
        "counts",
        "our own",
        "How many points, rows and pictures the other figures rest on.",
        ("count/*",),
    ),
)

PROTOCOLS: Mapping[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def protocol_of(key: str) -> str:
    """The name of the one protocol that a figure belongs to.

    >>> protocol_of("redirect/unsafe_text->safe_image+unsafe_image/raw/harmful_top1")
    'harmful-top-1'

    Raises:
        ConfigError: it belongs to none.
    """
    for name, protocol in PROTOCOLS.items():
        if any(fnmatchcase(key, pattern) for pattern in protocol.keys):
            return name
    raise ConfigError(f"the figure {key!r} belongs to no protocol; keys are explained in evaluation.keys.")


def figures_of_protocols(figures: Figures, names: Collection[str]) -> Figures:
    """The figures that belong to these protocols, and the counts that they rest on.

    Raises:
        ConfigError: see `require_protocols`.
    """
    require_protocols(names)
    return {key: value for key, value in figures.items() if protocol_of(key) in {*names, "counts"}}


def require_protocols(names: Collection[str]) -> None:
    """Refuses an unknown name, and a study, which has no figures of its own (`ConfigError`)."""
    for name in names:
        if name not in PROTOCOLS:
            raise unknown_name("protocol", name, PROTOCOLS)
        if not PROTOCOLS[name].keys:
            raise ConfigError(f"{name!r} is a study that trains models; `hyperaware compare` runs it.")
