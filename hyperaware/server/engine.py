"""What the routes work with: model, decoders, policy, index and records, brought up and down."""

import gc
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

from hyperaware.catalogue import own_bounds, read_reference
from hyperaware.errors import ConfigError, HyperawareError, RecordError, StoreError
from hyperaware.index.database import FILE
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.media.images import Limits
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT
from hyperaware.moderate import Moderator
from hyperaware.moderation import calibration
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.concepts import Concepts
from hyperaware.moderation.policy import Policy
from hyperaware.records.audit import AuditLog
from hyperaware.records.keys import KeyRing
from hyperaware.records.reviews import ReviewQueue
from hyperaware.search import Searcher
from hyperaware.server.batching import Batcher
from hyperaware.server.captions import Captions
from hyperaware.server.decisions import Ledger
from hyperaware.server.decoding import Decoders
from hyperaware.server.docket import Docket
from hyperaware.server.encoder import RemoteEncoder
from hyperaware.server.fetching import Fetcher
from hyperaware.server.metrics import Metrics
from hyperaware.server.problems import RETRY_SECONDS, Problem, public
from hyperaware.server.projection import Disk
from hyperaware.server.quarantine import Quarantine
from hyperaware.server.settings import Settings
from hyperaware.server.supervisor import LOADING_SECONDS, Supervisor, WorkerDown
from hyperaware.server.visible import Visible

__all__ = ["Engine", "Index", "Parts", "Reason"]

log = logging.getLogger("hyperaware.server")
LOG_SAYS = "what it stands on cannot be loaded; the server's log says why"


class Reason(NamedTuple):
    """Why the server is not ready: a stable word and a sentence."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Parts:
    """What there is once the model is loaded."""

    model: DualEncoder
    bounds: Bounds | None
    moderator: Moderator
    ledger: Ledger
    index: "Index | None"
    """None on a server without one."""


@dataclass(frozen=True)
class Index:
    """An index, and what is remembered of it."""

    searcher: Searcher
    captions: Captions
    disk: Disk
    file: tuple[int, int]
    """Device and number of the file that was opened: another one at its place is another index."""


class Engine:
    """Everything behind the routes.

    What only depends on files is opened here, so that wrong settings end the program at once. The model is
    loaded in the background; until then, and when it cannot be loaded, `parts` says so.

    Args:
        model: Encodes in this process, for tests; by default the model has a process of its own.

    Raises:
        ConfigError: a setting that cannot be used, or no file of keys.
        RecordError: audit log, reviews or keys cannot be opened.
    """

    def __init__(self, settings: Settings, *, model: DualEncoder | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.policy = Policy.default() if settings.policy is None else Policy.read(settings.policy)
        self.model_name = self._model_name()
        folder = settings.state_folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.keys = None if settings.open else self._keys()
        self._audit = AuditLog(folder / "audit.jsonl")
        self.reviews = ReviewQueue(folder / "reviews.sqlite", audit=self._audit)
        self.quarantine = Quarantine(folder / "quarantine", days=settings.quarantine_days)
        self.decoders = Decoders(
            settings.decode_workers,
            limits=Limits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
            seconds=settings.decode_seconds,
            memory=settings.decode_memory_mb * 2**20,
        )
        self.fetcher = self._fetcher()
        self._given = model
        self._supervisor = Supervisor(
            self.model_name,
            threads=settings.model_threads,
            device=settings.device,
            spare=settings.spare_worker,
            seconds=settings.request_seconds,
            on_change=self._model_changed,
        )
        self._batcher = Batcher(
            self._supervisor,
            size=settings.batch_size,
            wait=settings.batch_wait_ms / 1000,
            limit=settings.queue_size,
        )
        most = min(settings.batch_size, settings.queue_size)
        self.docket = Docket(
            most=most,
            limit=settings.queue_size,
            seconds=settings.request_seconds,
            behind=lambda: self._batcher.depth,
        )
        self._parts: Parts | None = None
        self._problem: Reason | None = None
        self._loading = threading.Thread(target=self._load, name="engine", daemon=True)
        self._watch()

    def start(self) -> None:
        """Begin to load the model; returns at once."""
        self._loading.start()

    def stop(self) -> None:
        """End the processes, and close the files. Requests are over by now."""
        self._batcher.close()
        self._supervisor.stop()
        self.docket.close()
        self._loading.join()
        self.decoders.close()
        if self._parts is not None and self._parts.index is not None:
            self._parts.index.searcher.store.close()
        self.reviews.close()
        self._audit.close()

    @property
    def waiting(self) -> int:
        """Inputs that wait for the model."""
        return self.docket.depth + self._batcher.depth

    @property
    def parts(self) -> Parts:
        """What the model has brought.

        Raises:
            Problem: 503, with the reason.
        """
        if self._parts is None:
            code, sentence = self._problem or Reason("model_missing", self._supervisor.reason)
            message = f"not ready: {sentence.rstrip('.')}."
            raise Problem(503, message, code=code, retry_after=RETRY_SECONDS)
        return self._parts

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            Problem: 503 while there is no model, or when the index was moved, removed or built anew; 404 on a
                server without an index.
        """
        index = self.parts.index
        if index is None:
            raise Problem(404, "this server has no index; it was started without --index.", code="no_index")
        for code, sentence in self._index_reasons(index):  # what was taken away must not be shown any more
            raise Problem(503, f"not ready: {sentence}.", code=code, retry_after=RETRY_SECONDS)
        return index

    @property
    def searcher(self) -> Searcher:
        """The searcher over the index; errors as in `index`."""
        return self.index.searcher

    def reasons(self) -> list[Reason]:
        """Why the server is not ready; empty if it is."""
        found = []
        if self._problem is not None:
            found.append(self._problem)
        if self.keys is not None:
            try:
                _ = self.keys.keys
            except RecordError:
                found.append(Reason("keys_unreadable", "the keys cannot be read, so nobody is let in"))
        if self._given is None:
            try:
                self._supervisor.line()
            except WorkerDown as error:
                found.append(Reason("model_missing", str(error)))
        parts = self._parts
        if parts is None:
            return found or [Reason("loading", "the model is there, and what is judged by is being loaded")]
        if not parts.ledger.is_recording():
            found.append(Reason("not_recorded", "decisions cannot be recorded"))
        if parts.index is not None:
            found += self._index_reasons(parts.index)
        return found

    def public_reasons(self) -> list[Reason]:
        """The reasons as they may be told to anybody: without the paths of this machine, and without what the
        policy or the model say, as an error in them would."""
        return [
            Reason(each.code, LOG_SAYS if each is self._problem else public(each.sentence))
            for each in self.reasons()
        ]

    def _index_reasons(self, index: Index) -> list[Reason]:
        assert self.settings.index is not None
        try:
            there = read_reference(self.settings.index).fingerprint
            file = _identity(self.settings.index)
        except (StoreError, OSError):
            return [Reason("index_missing", "the index is gone or damaged")]
        if there != index.searcher.model.fingerprint:
            return [
                Reason("index_stale", "the index was built anew with another model; start the server again")
            ]
        if file != index.file:
            return [Reason("index_stale", "the index was built anew; start the server again")]
        return []

    # -- bringing up -------------------------------------------------------------------------------------

    def _model_name(self) -> str:
        if self.settings.model is not None:
            return self.settings.model
        return DEFAULT if self.settings.index is None else read_reference(self.settings.index).model

    def _keys(self) -> KeyRing:
        path = self.settings.state_folder / "keys.json"
        try:
            return KeyRing.read(path)
        except RecordError as error:
            if error.reason != "unknown":
                raise
            raise ConfigError(
                f"{path} does not exist, so nobody could ask. `hyperaware keys add {path} --role viewer "
                "--name NAME` makes a key; --no-auth takes requests of this machine without one."
            ) from error

    def _fetcher(self) -> Fetcher | None:
        settings = self.settings
        if not settings.fetch_hosts:
            return None
        return Fetcher(settings.fetch_hosts, seconds=settings.fetch_seconds, most=settings.max_image_bytes)

    def _load(self) -> None:
        try:
            model = self._given
            if model is None:
                self._supervisor.start()
                while not self._supervisor.wait(LOADING_SECONDS):
                    log.warning("the model is not there yet: %s", self._supervisor.reason)
                if self._supervisor.about is None:  # stopped before it came
                    return
                remote = RemoteEncoder(
                    self._batcher,
                    self._supervisor.about,
                    seconds=self.settings.request_seconds,
                    stage=self.metrics.stage,
                )
                model = cast(DualEncoder, remote)  # all that a searcher or a moderator asks of a model
            self._parts = self._assembled(model)
            if self._given is None:
                # What was loaded stays; the collector need not look at all of it again and again.
                gc.collect()
                gc.freeze()
            log.info("ready: model %s (%s)", model.name, model.fingerprint)
        except Exception as error:  # whatever it is: nobody else would see it in this thread
            log.error("not ready: %s", error, exc_info=None if isinstance(error, HyperawareError) else error)
            code = "index_stale" if isinstance(error, StoreError) else type(error).__name__
            self._problem = Reason(code, str(error))

    def _assembled(self, model: DualEncoder) -> Parts:
        bounds = own_bounds(model)
        moderator = Moderator(
            model,
            bounds=bounds,
            calibration=None if bounds is None else calibration.load(model.folder or "", bounds=bounds),
            concepts=Concepts.of(model, self.settings.concepts),
            policy=self.policy,
        )
        ledger = Ledger(
            self._audit, self.reviews, self.quarantine, self.metrics, model_fingerprint=model.fingerprint
        )
        ledger.note("policy_changed", policy_version=self.policy.version, previous=None)
        return Parts(model, bounds, moderator, ledger, self._opened(moderator))

    def _opened(self, moderator: Moderator) -> Index | None:
        if self.settings.index is None:
            return None
        model = moderator.model
        store = SQLiteStore(
            self.settings.index, space=model.space, model_fingerprint=model.fingerprint, create=False
        )
        searcher = Searcher(model, store, moderator.bounds, self.policy, scorer=moderator.scorer)
        visible = Visible(searcher)
        file = _identity(self.settings.index)
        return Index(searcher, Captions(searcher, visible), Disk(searcher, visible), file)

    def _model_changed(self, event: str, sentence: str) -> None:
        log.warning("%s: %s", event, sentence)
        try:
            self._audit.append(event, reason=sentence[:500])
        except RecordError as error:
            log.error("%s could not be recorded: %s", event, error)

    def _watch(self) -> None:
        self.metrics.watch(
            gauges={
                "queue_depth": ("Inputs that wait for the model.", lambda: self.waiting),
                "reviews_waiting": ("Cases that wait for a person.", lambda: self.reviews.depth()),
                "ready": ("1 if the server is ready.", lambda: float(not self.reasons())),
                "model_restarts": (
                    "How often the model's process was replaced.",
                    lambda: self._supervisor.restarts,
                ),
            },
            counts={
                "decode_failures": ("Refused pictures.", "reason", lambda: dict(self.decoders.failures)),
            },
        )


def _identity(index: Path) -> tuple[int, int]:
    status = (index / FILE).stat()
    return status.st_dev, status.st_ino
