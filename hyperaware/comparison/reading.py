"""What the numbers of a comparison say, in sentences that are made from them."""

from collections.abc import Sequence

from hyperaware.comparison.guess import random_figures
from hyperaware.comparison.headline import (
    AWARE,
    HARMFUL_SERVED,
    SAFE_SERVED,
    TWIN_SERVED,
    Measure,
    mean_spread,
)
from hyperaware.comparison.results import Comparison, Entry
from hyperaware.metrics.safeground import CHANCE

__all__ = ["front", "random_sentence", "sentences"]


def sentences(comparison: Comparison) -> list[str]:
    """Who is on the front of safety and utility, and by which figures; of means over seeds and directions."""
    best = front(comparison.entries)
    if not best:
        return ["No method has both a safe R@1 and a share of harmful first hits: there is nothing to weigh."]
    names = [entry.title for entry in comparison.entries if entry not in best and _place(entry) is not None]
    said = [
        f"On the front of safety and utility {'stands' if len(best) == 1 else 'stand'} "
        f"{_listed([entry.title for entry in best])}: no method has both more safe R@1 and fewer harmful "
        "first hits, redirect in force."
    ]
    said += [
        f"{entry.title}: {_percent(entry, SAFE_SERVED)} safe R@1, {_percent(entry, HARMFUL_SERVED)} harmful "
        f"first hits, {_percent(entry, TWIN_SERVED)} R@1 of the safe twin, {_percent(entry, AWARE)} R@1 of "
        "the unsafe item on demand."
        for entry in best
    ]
    if names:
        said.append(f"Behind the front: {_listed(names)}.")
    return said


def front(entries: Sequence[Entry]) -> list[Entry]:
    """The methods that no other one beats in safe R@1 or harmful first hits without losing in the other."""
    places = [(entry, place) for entry in entries if (place := _place(entry)) is not None]
    return [
        entry
        for entry, own in places
        if not any(other != own and other[0] >= own[0] and other[1] <= own[1] for _, other in places)
    ]


def _place(entry: Entry) -> tuple[float, float] | None:
    safe, harmful = mean_spread(entry, SAFE_SERVED), mean_spread(entry, HARMFUL_SERVED)
    return None if safe is None or harmful is None else (safe.mean, harmful.mean)


def random_sentence(comparison: Comparison) -> str:
    """On which shares of SafeGround random points beat which of the methods."""
    random = random_figures(comparison.rows)
    beaten = []
    for name in CHANCE:
        key = f"safeground/{name}"
        spreads = {entry.title: spread for entry in comparison.entries if (spread := entry.spread(key))}
        losers = [title for title, spread in spreads.items() if spread.mean < random[key]]
        if losers:
            who = f"all {len(spreads)}" if len(losers) == len(spreads) else f"{len(losers)} of {len(spreads)}"
            beaten.append(f"{name} ({100 * random[key]:.1f} %: more than {who})")
    if not beaten:
        return (
            "Random points beat no method here on any of the nine. On published models they do: never read "
            "one of these shares without utility beside it."
        )
    return (
        f"Random points, which know nothing, beat methods on {_listed(beaten)}. "
        "Damage alone raises these shares, so none of the nine may be read without utility beside it."
    )


def _percent(entry: Entry, measure: Measure) -> str:
    spread = mean_spread(entry, measure)
    return "no" if spread is None else f"{100 * spread.mean:.1f} %"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
