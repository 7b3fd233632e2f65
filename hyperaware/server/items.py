"""`/v1/items`: what an index holds, as a role may see it; added and removed by who may change the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field, model_validator
from torch import Tensor

from hyperaware.errors import MediaError
from hyperaware.files import whole
from hyperaware.index.categories import with_categories
from hyperaware.index.store import Item, Modality, item_id
from hyperaware.media.images import Limits, content_hash, read_bytes
from hyperaware.moderation.policy import Verdict
from hyperaware.search import Found, Searcher
from hyperaware.server.access import Admin, Searching, TheEngine, role_of
from hyperaware.server.decisions import Decision
from hyperaware.server.engine import Engine
from hyperaware.server.fitting import require_fitting
from hyperaware.server.inputs import words
from hyperaware.server.pictures import picture_bytes
from hyperaware.server.problems import Problem
from hyperaware.server.searches import Id, ItemShape, hash_of
from hyperaware.server.shapes import Given, ImageURL, Role, Told, Words, with_examples

__all__ = ["router"]

router = APIRouter(tags=["search"])

UPLOADS = "uploads"
"""Folder below the index's pictures where added ones are kept, named by their hashes."""
Side = Annotated[int, Query(ge=16, le=2048)]


class AddRequest(Given):
    """A picture or a text to add."""

    model_config = with_examples({"text": "a rabbit with a blue cup in the snow"})

    image: ImageURL | None = None
    text: Words | None = None
    caption: Annotated[Words | None, Field(max_length=2000)] = None
    """What the picture shows."""

    @model_validator(mode="after")
    def _one(self) -> "AddRequest":
        if (self.image is None) == (self.text is None):
            raise ValueError("give exactly one of image and text")
        if self.text is not None and self.caption is not None:
            raise ValueError("a text is its own caption")
        return self


class Added(Told):
    """The item as it is in the index."""

    id: str
    score: float | None
    """Root distance."""
    categories: dict[str, float] | None


class Removed(Told):
    """The item is gone: no search that starts now finds it."""

    id: str
    deleted: bool = True


@router.post("/v1/items", status_code=201)
def add(body: AddRequest, engine: TheEngine, caller: Admin) -> Added:
    """Encode a picture or a text and add it. A picture is kept as a new file without its metadata; adding the
    same one again changes nothing. A text must fit the model's context."""
    searcher = engine.searcher
    item = _picture(engine, searcher, body) if body.image is not None else _text(engine, searcher, body)
    # Recorded first, so that nothing is in the index, or gone from it, without a record.
    engine.parts.ledger.note(
        "item_added", item_id=item.id, content_sha256=item.content_hash, score=item.score, actor=caller.id
    )
    searcher.store.add([item])
    return Added(
        id=item.id,
        score=item.score,
        categories=None if item.categories is None else dict(item.categories),
    )


@router.delete("/v1/items/{id}")
def remove(id: Id, engine: TheEngine, caller: Admin) -> Removed:
    """Remove an item from the index. Only files that the server itself has added are deleted."""
    store = engine.searcher.store
    item = store.get(id)
    if item is None:
        raise _unknown()
    engine.parts.ledger.note("item_removed", item_id=id, actor=caller.id)
    if item.path.startswith(f"{UPLOADS}/") and store.root is not None:
        with _writing():
            (store.root / item.path).unlink(missing_ok=True)
    store.remove([id])
    return Removed(id=id)


@router.get("/v1/items/{id}")
def get(
    id: Id, request: Request, engine: TheEngine, caller: Searching, role: Role = None, reveal: bool = False
) -> ItemShape:
    """An item as the role may see it; `reveal` also tells the caption of a blurred one, and is recorded.
    What the role may not see is answered like what is not there."""
    found = _found(engine, id, role_of(engine, caller, role))
    if found.blurred:
        _record(request, engine, found, role_of(engine, caller, role), reveal=reveal, caller=caller.id)
    return ItemShape.of(found, reveal=reveal)


@router.get(
    "/v1/items/{id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"example": "a JPEG"}}, "description": "A JPEG."}},
)
def thumbnail(
    id: Id,
    request: Request,
    engine: TheEngine,
    caller: Searching,
    role: Role = None,
    side: Side = 256,
    blur: bool = False,
    reveal: bool = False,
) -> Response:
    """The picture of an item, at most `side` pixels. Where the policy says blur it is blurred here, not by
    the page, until somebody reveals it on purpose; that is recorded. `blur` asks for more than the policy
    does."""
    named = role_of(engine, caller, role)
    found = _found(engine, id, named)
    root = engine.searcher.store.root
    if found.modality != "image" or root is None:
        raise _unknown()
    if found.blurred:
        _record(request, engine, found, named, reveal=reveal, caller=caller.id)
    hidden = blur or (found.blurred and not reveal)
    try:
        # A picture that was indexed passed the index's own limits; here the server's hold.
        limits = Limits(max_bytes=engine.settings.max_image_bytes)
        data = read_bytes(root / found.path, limits=limits, name="the picture")
        _require_indexed(engine, found.id, data)
        with engine.metrics.stage("thumbnail"):
            jpeg = engine.decoders.thumbnail(data, side=side, blur=hidden, name="the picture")
    except MediaError as error:
        raise Problem(404, f"the picture cannot be shown: {error}", code=error.reason) from None
    return Response(jpeg, media_type="image/jpeg")


def _found(engine: Engine, id: str, role: str) -> Found:
    found = engine.searcher.item(id, role=role)
    if found is None:
        raise _unknown()
    return found


def _require_indexed(engine: Engine, id: str, data: bytes) -> None:
    """Refuse a file that is another one than was judged when it was indexed (`Problem`)."""
    item = engine.searcher.store.get(id)
    if item is None or item.content_hash not in (None, content_hash(data)):
        raise Problem(404, "the picture has changed since it was indexed: index it again.", code="changed")


def _unknown() -> Problem:
    return Problem(404, "there is no such item, or not for this role.", code="unknown")


def _record(request: Request, engine: Engine, found: Found, role: str, *, reveal: bool, caller: str) -> None:
    """Record that an item was blurred for somebody, or that they revealed it."""
    ledger = engine.parts.ledger
    if reveal:
        ledger.note("revealed", item_id=found.id, role=role, actor=caller)
        return
    verdict = Verdict(
        action="blur",
        reason="the policy shows this item blurred",
        score=None,
        bound=None,
        role=role,
        policy_version=engine.policy.version,
        shadow=found.shadow,
    )
    digest = hash_of(found.id, engine.searcher.store.get(found.id))
    id = f"item-{request.state.request_id.removeprefix('req-')}"
    ledger.record(
        [
            Decision(
                id=id,
                verdict=verdict,
                modality=found.modality,
                content=None,
                content_hash=digest,
                categories=found.categories or {},
                item_id=found.id,
            )
        ]
    )


def _picture(engine: Engine, searcher: Searcher, body: AddRequest) -> Item:
    """The item of an uploaded picture, whose file is there before the item is."""
    assert body.image is not None
    root = searcher.store.root
    if root is None:
        raise Problem(409, "the index belongs to no folder yet: index a folder first.", code="no_root")
    data = picture_bytes(
        body.image.url, param="image", most=engine.settings.max_image_bytes, fetcher=engine.fetcher
    )
    with engine.metrics.stage("decode"):
        kept = engine.decoders.kept(data, preprocess=searcher.model.preprocess, name="image")
    digest = content_hash(kept.png)
    path = f"{UPLOADS}/{digest}.png"
    _write(root / path, kept.png)
    return _scored(searcher, path, "image", searcher.model.encode_image(kept.crop), body.caption, digest)


def _text(engine: Engine, searcher: Searcher, body: AddRequest) -> Item:
    assert body.text is not None
    text = str(words(engine, body.text, param="text").content)
    require_fitting(text, searcher.model.tokenizer, param="text")
    digest = content_hash(text.encode())
    path = f"{UPLOADS}/{digest}.txt"
    return _scored(searcher, path, "text", searcher.model.encode_text(text), text, digest)


def _scored(
    searcher: Searcher, path: str, modality: Modality, points: Tensor, caption: str | None, digest: str
) -> Item:
    space = searcher.space
    item = Item(
        id=item_id(path, modality),
        path=path,
        modality=modality,
        caption=caption,
        content_hash=digest,
        vector=points[0],
        score=float(space.root_distance(points[0].double())) if space.has_root else None,
        state="ok" if space.has_root else "unscored",
    )
    return item if searcher.scorer is None else with_categories([item], searcher.scorer)[0]


def _write(path: Path, data: bytes) -> None:
    with _writing():
        path.parent.mkdir(exist_ok=True)
        with whole(path) as partial:
            partial.write_bytes(data)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problem(503, "the folder of the index cannot be written.", code="read_only") from error
