"""A folder into an index: a reader lists pictures, a mapper decodes them, a writer encodes and commits."""

import functools
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from PIL import Image
from torch import Tensor

from hyperaware.errors import MediaError, ModelError, StoreError
from hyperaware.index.categories import CategoryScorer, categorise, with_categories
from hyperaware.index.listing import Listing, list_folder, sidecar_caption
from hyperaware.index.store import Content, Item, Store, item_id, vector_problem
from hyperaware.media.images import DEFAULT_LIMITS, Limits, content_hash, decode, read_bytes

__all__ = ["ImageEncoder", "Progress", "Report", "ingest"]

BATCH_PIXELS = 64_000_000
"""A batch of big pictures is encoded before it is full: decoded, these are 192 MB."""

Progress = Callable[[int, int, int], None]
"""Called with the numbers of pictures that are done (committed or unchanged), of all, and of failed ones."""


class ImageEncoder(Protocol):
    """What ingest needs of a model; `DualEncoder` is one."""

    @property
    def fingerprint(self) -> str:
        """Names the weights; must be the store's."""

    def encode_image(self, images: Sequence[Image.Image]) -> Tensor:
        """Points of RGB pictures, (n, d)."""


@dataclass
class Report:
    """What a run of `ingest` did. Every picture is counted once in added, updated, unchanged or failed."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason); a picture's reason begins with a stable word, mostly one of `media.images.REASONS`."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Number of files of other kinds, by suffix."""

    def counts(self) -> dict[str, int]:
        """Every number by its name, for machines."""
        return {
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "failed": len(self.failed),
            "skipped": sum(self.skipped.values()),
        }

    def __str__(self) -> str:
        words = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in self.skipped.most_common())
        return words + (f" ({kinds})" if kinds else "")


def ingest(
    store: Store,
    model: ImageEncoder,
    folder: str | Path,
    *,
    batch_size: int = 32,
    prune: bool = False,
    moved: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    hint: int | None = None,
    scorer: CategoryScorer | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring `store` up to date with the pictures of `folder`, sub-folders included; what was done.

    A file whose bytes and caption are those of its item is left alone, a new or changed one is encoded,
    and one that cannot be decoded becomes a failed item without a vector, whatever it was before. Every
    batch is committed when it is encoded: a run that was killed is continued by running it again.

    Args:
        model: The model that the store was opened with.
        prune: Remove items whose file is gone. Without it they stay.
        moved: The folder that the store knows has been moved here.
        hint: Decode big JPEGs at a reduced size, not below this shortest side; see `media.images.decode`.
        scorer: Computes the categories of the pictures, also of those that are in the index and have none by
            it. Without one, new items have none, and are not shown to a role with a rule for a category.

    Raises:
        SafetyError: the scorer gave what is no probability.
        StoreError: another model, another folder, or nothing left of a folder that is to be pruned.
        DataError: no folder, or a captions.jsonl that cannot be read.
    """
    if store.model_fingerprint != model.fingerprint:
        raise StoreError(
            f"the index was built by model {store.model_fingerprint}, but this is model {model.fingerprint}. "
            "Use the model of the index, or index into a new folder."
        )
    root = Path(folder).resolve()
    listing = list_folder(root)
    known = store.contents("image")
    if prune and known and not listing.pictures:
        raise StoreError(f"{root} has no pictures, and pruning would empty the index. Is a disk not mounted?")
    store.bind_root(root, moved=moved)
    if scorer is not None:
        store.bind_concepts(scorer.fingerprint)
    report = Report(failed=list(listing.unreadable), skipped=listing.skipped)
    load = functools.partial(_load, root, known, listing.captions, limits, hint)
    writer = _Writer(
        store=store,
        model=model,
        known=known,
        report=report,
        batch_size=batch_size,
        total=len(listing.pictures),
        scorer=scorer,
        progress=progress,
    )
    with closing(_ahead(load, listing.pictures)) as files:
        for file in files:
            writer.take(file)
    writer.commit()
    if prune:
        report.removed = store.remove(_gone(known, listing))
    if scorer is not None:
        categorise(store, scorer)
    return report


def _gone(known: Mapping[str, Content], listing: Listing) -> list[str]:
    """Ids of items whose file is no longer there, except below folders that could not be read."""
    present = {item_id(_spelled(path)) for path in listing.pictures}
    hidden = tuple(f"{folder}/" for folder, _ in listing.unreadable)
    return [id for id, item in known.items() if id not in present and not item.path.startswith(hidden)]


# -- mapper: one file, in a thread -----------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """One picture on its way: decoded, or unchanged (neither image nor problem), or failed (a problem)."""

    path: str
    caption: str | None = None
    content_hash: str | None = None
    image: Image.Image | None = None
    problem: str | None = None

    def failed(self, problem: str) -> Item:
        return Item(id=item_id(self.path), path=self.path, modality="image", state="failed", reason=problem)


def _spelled(path: str) -> str:
    """The path as text; bytes that are not UTF-8 are written as \\udcff and the like."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _load(
    root: Path,
    known: Mapping[str, Content],
    captions: Mapping[str, str],
    limits: Limits,
    hint: int | None,
    path: str,
) -> _File:
    name = _spelled(path)
    if name != path:
        return _File(name, problem="unsupported: the name is not valid UTF-8. Rename the file.")
    caption = captions.get(path) or sidecar_caption(root / path)
    try:
        data = read_bytes(root / path, limits=limits, name=path)
        digest = content_hash(data)
        there = known.get(item_id(path))
        if there is not None and _is_unchanged(there, digest, caption):
            return _File(path, caption, digest)
        # The very bytes that were hashed are decoded, whatever happens to the file meanwhile.
        return _File(path, caption, digest, image=decode(data, limits=limits, hint=hint, name=path))
    except MediaError as error:
        return _File(path, problem=f"{error.reason}: {str(error).removeprefix(f'{path}: ')}")


def _is_unchanged(there: Content, digest: str, caption: str | None) -> bool:
    return there.state != "failed" and (there.content_hash, there.caption) == (digest, caption)


def _ahead(load: Callable[[str], _File], paths: Sequence[str]) -> Generator[_File, None, None]:
    """The files in order, some loaded while the caller works: Pillow and disks let go of Python's lock."""
    workers = min(8, os.cpu_count() or 1)
    waiting: deque[Future[_File]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(load, path))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


# -- writer: batches, in the calling thread --------------------------------------------------------------


@dataclass(kw_only=True)
class _Writer:
    """Collects files, encodes them batch by batch, commits each batch, and counts."""

    store: Store
    model: ImageEncoder
    known: Mapping[str, Content]
    report: Report
    batch_size: int
    total: int
    scorer: CategoryScorer | None
    progress: Progress | None
    batch: list[_File] = field(default_factory=list)
    pixels: int = 0
    """Of the batch, decoded."""
    done: int = 0
    encoder_works: bool = False
    """Whether it has encoded anything in this run."""

    def take(self, file: _File) -> None:
        if file.image is None and file.problem is None:
            self.report.unchanged += 1
            self._tell(1)
            return
        self.batch.append(file)
        self.pixels += 0 if file.image is None else file.image.width * file.image.height
        if len(self.batch) >= self.batch_size or self.pixels >= BATCH_PIXELS:
            self.commit()

    def commit(self) -> None:
        """Encode and commit what has been collected; only then is it counted."""
        if not self.batch:
            return
        decoded = [file for file in self.batch if file.image is not None]
        items = [file.failed(file.problem) for file in self.batch if file.problem is not None]
        items += [
            self._item(file, outcome) for file, outcome in zip(decoded, self._encode(decoded), strict=True)
        ]
        self.store.add(self._categorised(items))
        for item in items:
            if item.reason is not None:
                self.report.failed.append((item.path, item.reason))
            elif item.id in self.known:
                self.report.updated += 1
            else:
                self.report.added += 1
        self._tell(len(self.batch))
        self.batch, self.pixels = [], 0

    def _categorised(self, items: Sequence[Item]) -> list[Item]:
        return list(items) if self.scorer is None else with_categories(items, self.scorer)

    def _tell(self, done: int) -> None:
        self.done += done
        if self.progress is not None:
            self.progress(self.done, self.total, len(self.report.failed))

    def _encode(self, files: Sequence[_File]) -> list[Tensor | Exception]:
        """For each file its vector, or what the encoder raised for it.

        Raises:
            Exception: what the encoder raised, if it takes no picture at all: it is not theirs, then.
        """
        outcomes = self._try(files)
        works = any(isinstance(outcome, Tensor) for outcome in outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not works and (len(files) > 1 or not self.encoder_works):
                raise outcome
        self.encoder_works |= works
        return outcomes

    def _try(self, files: Sequence[_File]) -> list[Tensor | Exception]:
        """All at once; if that fails, one by one, to find the picture that the encoder cannot take."""
        images = [file.image for file in files if file.image is not None]
        if not images:
            return []
        try:
            vectors = self.model.encode_image(images).detach().float().cpu()
            if vectors.ndim != 2 or len(vectors) != len(images):
                shape, expected = tuple(vectors.shape), f"({len(images)}, d)"
                raise ModelError(
                    f"encode_image gave {shape} for {len(images)} pictures, expected {expected}."
                )
        except Exception as error:
            return [error] if len(files) == 1 else [self._try([file])[0] for file in files]
        return list(vectors)

    def _item(self, file: _File, outcome: Tensor | Exception) -> Item:
        if isinstance(outcome, Exception):
            return file.failed(f"encoder: {type(outcome).__name__}: {outcome}")
        space = self.store.space
        problem = vector_problem(outcome, space, None)
        if problem is not None:
            return file.failed(f"encoder: {problem}")
        item = Item(
            id=item_id(file.path),
            path=file.path,
            modality="image",
            caption=file.caption,
            content_hash=file.content_hash,
            vector=outcome,
            state="unscored",
        )
        if not space.has_root:
            return item
        return replace(item, score=float(space.root_distance(outcome.double())), state="ok")
