"""Items for the suite of stores, and the oracle: a dictionary, searched by brute force in float64."""

import random
from dataclasses import replace

import torch
from torch import Tensor

from hyperaware.geometry.space import Lorentz, Space, Sphere
from hyperaware.index.store import Item, item_id
from hyperaware.media.images import content_hash

SPACES: dict[str, Space] = {"lorentz": Lorentz(0.7), "sphere": Sphere()}
DIM = 5
CATEGORIES = ("hate", "violence")


def points(space: Space, count: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return space.lift(scale * torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)))


def picture(
    name: str,
    vector: Tensor,
    score: float | None = 0.5,
    caption: str | None = None,
    categories: dict[str, float] | None = None,
) -> Item:
    return Item(
        id=item_id(name),
        path=name,
        modality="image",
        caption=caption,
        content_hash=content_hash(name.encode()),
        vector=vector,
        score=score,
        categories=categories,
        state="unscored" if score is None else "ok",
    )


def failed(name: str) -> Item:
    return Item(id=item_id(name), path=name, modality="image", state="failed", reason="truncated: cut")


def brute_force(
    items: dict[str, Item],
    query: Tensor,
    space: Space,
    *,
    k: int,
    modality: str,
    max_score: float | None,
    max_categories: dict[str, float] | None = None,
) -> list[str]:
    allowed = [
        item
        for item in items.values()
        if item.modality == modality
        and item.vector is not None
        and (max_score is None or (item.score is not None and item.score <= max_score))
        and all(
            (item.categories or {}).get(name, 2.0) <= most for name, most in (max_categories or {}).items()
        )
    ]
    if not allowed:
        return []
    vectors = torch.stack([item.vector for item in allowed]).double()
    products = (space.product_items(vectors) * space.product_queries(query.double()[None])).sum(dim=1)
    ranked = sorted(zip((-products).tolist(), [item.id for item in allowed], strict=True))
    return [id for _, id in ranked[:k]]


def same(item: Item, other: Item | None) -> bool:
    if other is None or (item.vector is None) != (other.vector is None):
        return False
    vectors = item.vector is None or other.vector is None or torch.equal(item.vector, other.vector)
    names = ("id", "path", "modality", "caption", "content_hash", "score", "categories", "state", "reason")
    return vectors and all(getattr(item, name) == getattr(other, name) for name in names)


def random_items(space: Space, count: int, seed: int) -> dict[str, Item]:
    """Pictures and texts of every state; every third vector is a copy of an earlier one, every score a
    tenth."""
    choose = random.Random(seed)
    vectors = points(space, count, seed)
    items = []
    for number in range(count):
        if number % 3 == 2:
            vectors[number] = vectors[choose.randrange(number)]
        name = f"{choose.random()}.png"  # ids in another order than insertion
        score = choose.choice([None, 0.1, 0.2, 0.3, 0.4, 0.5])
        modality = choose.choice(["image", "image", "text"])
        known = {each: choose.choice([0.0, 0.25, 0.5, 1.0]) for each in CATEGORIES if choose.random() < 0.8}
        categories = choose.choice([None, known, known])
        item = picture(name, vectors[number].clone(), score=score, categories=categories)
        items.append(replace(item, id=item_id(name, modality), modality=modality))
    items += [failed(f"{number}.broken") for number in range(3)]
    return {item.id: item for item in items}
