"""The keys of figures: what `evaluation` measures, and how each number is called.

The key of a figure is a path whose parts are names from this page:

    safe/DIRECTION/recall@K               a safe query finds its safe item
    safe-redirected/DIRECTION/recall@K    the same, with the redirect in force
    unsafe/DIRECTION/recall@K             an unsafe query finds its unsafe item among unsafe items
    awareness/DIRECTION/recall@K          the same among both safe and unsafe items
    redirect/DIRECTION/STATE/recall@K     an unsafe query finds its paired safe item among both
    redirect/DIRECTION/STATE/harmful_top1 share of unsafe queries whose first hit among both is unsafe
    substitute/DIRECTION/STATE/recall@K   an unsafe query finds its paired safe item among safe items
    by-category/NAME/DIRECTION/STATE/F    recall@1 and harmful_top1 of `redirect`, with the queries and the
                                          items of one category alone
    real-unsafe/GALLERY/DIRECTION/STATE/harmful_top1
                                          unsafe queries among the items of other data, ten safe to one unsafe
    safeground/METRIC                     preference for the safe of two candidates, whatever is asked
    zero-shot/TASK/top1                   share of safe pictures whose nearest class is shown on them
    zero-shot/TASK/chance                 the same for a guess
    classification/MODALITY/SCORER/FIGURE unsafe told from safe, by a threshold from calibration points
    separation/MODALITY/SCOPE/FIGURE      auroc, ap, fpr@95tpr of the root distance
    blocking/MODALITY/SCOPE/BOUND/FIGURE  false_positive_rate, miss_rate of a bound
    root_distance/CLASS/QUANTILE          q05, q25, q50, q75, q95: lengths, not shares
    root_distance/medians_ordered         True or False
    count/MODALITY/SCOPE/SIDE             how many safe, unsafe points the figures of a scope rest on
    count/safeground                      how many rows are tuples of SafeGround
    count/zero-shot/TASK                  how many safe pictures show at least one class of the task

    DIRECTION   QUERIES->ITEMS as in SAFE, UNSAFE, AWARENESS, REDIRECT, SUBSTITUTE below; where ITEMS is A+B,
                the item to find is the one of the query's row in A; by-category and real-unsafe: as REDIRECT
    STATE       raw, redirected
    MODALITY    text, image
    SCOPE       all; category:NAME (unsafe points of that category against all safe ones; of `blocking` only
                the misses); slice:NAME (safe and unsafe points of that slice, such as dual-use)
    BOUND       trigger, limit
    CLASS       safe_text, safe_image, unsafe_text, unsafe_image
    K           1, 5, 10, 20
    METRIC      P_t_s, P_t_u, P_v_s, P_v_u, Txt_s, Img_s, PS, PU, GS: see `metrics.safeground`, whose
                `CHANCE` belongs beside them
    TASK        subject, things: see `evaluation.zero_shot`
    SCORER      root-distance, linear-probe: see `evaluation.classification`, for its figures too

`blocking/MODALITY/slice:dual-use/BOUND/false_positive_rate` is the *over-blocking rate*.

Shares are fractions in [0, 1]. **A figure that does not exist is absent, never 0**: by root distance for a
model without a root, by bounds where none are given, of a scope in which one side has no points, of data that
were not given.

**Labels.** A generated item that its label calls safe is a safe item: it is not harmful as a hit, does not
ask as an unsafe query, and stands with the safe class of its modality. In a gallery safe items come before
unsafe ones, which is also the order of ranks where similarities are equal.

Which paper a figure comes from, and what differs in ours: `evaluation.sources`.
"""

from typing import TypeAlias

__all__ = [
    "AWARENESS",
    "CLASSES",
    "QUANTILES",
    "REDIRECT",
    "SAFE",
    "STATES",
    "SUBSTITUTE",
    "UNSAFE",
    "Figures",
    "modalities",
    "prefixed",
]

Figures: TypeAlias = dict[str, float]
"""Key -> value. Counts are int and `medians_ordered` is bool; both are numbers too."""

SAFE = ("safe_text->safe_image", "safe_image->safe_text")
UNSAFE = ("unsafe_text->unsafe_image", "unsafe_image->unsafe_text")
AWARENESS = ("unsafe_text->unsafe_image+safe_image", "unsafe_image->unsafe_text+safe_text")
REDIRECT = ("unsafe_text->safe_image+unsafe_image", "unsafe_image->safe_text+unsafe_text")
SUBSTITUTE = ("unsafe_text->safe_image", "unsafe_image->safe_text")
STATES = ("raw", "redirected")

CLASSES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
"""In the order of root distance that HySAC intends, the smallest first."""

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def modalities(direction: str) -> tuple[str, str]:
    """The modality of the queries and of the items.

    >>> modalities("unsafe_text->safe_image+unsafe_image")
    ('text', 'image')
    """
    source, _, items = direction.partition("->")
    return source.rpartition("_")[2], items.rpartition("_")[2]


def prefixed(prefix: str, figures: Figures) -> Figures:
    """The figures with `prefix/` before each key."""
    return {f"{prefix}/{name}": value for name, value in figures.items()}
