"""Models and data sets on the Hugging Face Hub, or on a mirror of it (`HF_ENDPOINT`): named, found, fetched.

`cached` and `cached_data` look on this machine only; `listing` and `fetch` use the network, and are called
when somebody asked for it. What is fetched lies in the Hub's own cache (`HF_HOME`).
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from hyperaware.errors import ConfigError, ModelError
from hyperaware.media.images import IMAGE_SUFFIXES
from hyperaware.models.licences import UNKNOWN, known, non_commercial, strictest

__all__ = [
    "PREFIX",
    "File",
    "HubName",
    "Listing",
    "cached",
    "cached_data",
    "cached_models",
    "explained",
    "fetch",
    "licences_file",
    "listing",
    "parse",
    "store",
]

PREFIX = "hf:"
NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
SETTINGS = (
    *("README.md", "config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"),
    "spiece.model",
    *("bounds.json", "calibration.json"),  # of our own
)
WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""The first that a repository has is fetched, an index after its shards: they are here when it is."""
DATA = frozenset(
    (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow", ".tar", ".zip", ".txt", ".md", ".yaml")
)
"""Suffixes of the files that are fetched of a data set, pictures besides. Never code."""
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
SHARD = re.compile(r"-\d{5}-of-\d{5}\.(?:safetensors|bin)$")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class HubName:
    """A repository, and the revision that was asked for."""

    repo: str
    revision: str | None = None
    kind: Literal["model", "dataset"] = "model"

    def __str__(self) -> str:
        return PREFIX + self.repo + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class File:
    """A file of a repository as the Hub describes it."""

    name: str
    size: int
    sha256: str | None
    """Of large files."""
    git_sha1: str | None
    """Of small ones: git's name of the content."""


@dataclass(frozen=True)
class Listing:
    """What would be fetched of a repository."""

    name: HubName
    commit: str
    files: tuple[File, ...]
    licence: str

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def parse(name: str, *, revision: str | None = None) -> HubName | None:
    """The repository behind `hf:ORG/NAME[@REVISION]`; None where the name does not begin with `hf:`.

    >>> parse("hf:openai/clip-vit-base-patch32@refs/pr/1")
    HubName(repo='openai/clip-vit-base-patch32', revision='refs/pr/1', kind='model')
    >>> parse("world") is None
    True

    Raises:
        ConfigError: no repository's name, or two revisions that differ.
    """
    if not name.startswith(PREFIX):
        return None
    repo, at, stated = name.removeprefix(PREFIX).partition("@")
    if not NAME.fullmatch(repo) or (at and not stated):
        raise ConfigError(f"got {name!r}, expected hf:ORG/NAME or hf:ORG/NAME@REVISION.")
    if stated and revision and stated != revision:
        raise ConfigError(f"{name} names one revision, and revision={revision!r} another. Name one.")
    return HubName(repo, stated or revision)


def store() -> Path:
    """Where converted models are kept: $HYPERAWARE_CACHE/models or ~/.cache/hyperaware/models."""
    cache = os.environ.get("HYPERAWARE_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "hyperaware") / "models"


def licences_file() -> Path:
    """The file of the licences that were accepted on this machine."""
    return store().parent / "licences.json"


def cached(name: HubName, *, settings_only: bool = False) -> Path | None:
    """The folder of a repository's files on this machine; None where there are none, or no weights."""
    from huggingface_hub import try_to_load_from_cache

    row = known().get(name.repo)
    all_of = ("config.json",) if settings_only else () if row is None else row.files
    found = [
        Path(path).parent
        for sign in all_of or WEIGHTS
        if isinstance(path := try_to_load_from_cache(name.repo, sign, revision=name.revision), str)
    ]
    return found[0] if found and len(found) >= len(all_of) else None


def cached_data(name: HubName) -> Path | None:
    """The folder of a data set's files on this machine, or None; a part of them may be missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name.repo, repo_type="dataset", revision=name.revision, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        return None


def cached_models() -> list[HubName]:
    """CLIP, SigLIP and our own models with weights in the Hub's cache on this machine, by name.

    With a revision where only such a one is here: `load` finds it by no other name.
    """
    from huggingface_hub import constants

    found = []
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/", 1)
        refs = sorted(path.name for path in (folder / "refs").glob("*") if path.is_file())
        snapshots = sorted(path.name for path in (folder / "snapshots").glob("*"))
        for revision in (None, *refs, *snapshots):
            snapshot = cached(name := HubName(repo, revision))
            if snapshot is not None and (repo in known() or _is_model(snapshot / "config.json")):
                found.append(name)
                break
    return found


def _is_model(config: Path) -> bool:
    """Whether config.json is of CLIP or SigLIP in transformers, or of what `pretrained.save` writes."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
        return document.get("model_type") in ("clip", "siglip") or {"format", "space"} <= document.keys()
    except (OSError, ValueError, AttributeError):
        return False


def listing(name: HubName, *, settings_only: bool = False) -> Listing:
    """What the Hub has of a repository that is needed here, or all but its weights. Asks the network.

    Raises:
        ConfigError: the Hub is switched off (`HF_HUB_OFFLINE`), or has no such repository or revision.
        ModelError: the Hub cannot be reached, access is not granted, or there are no weights.
    """
    from huggingface_hub import HfApi

    with explained(name):
        info: Any = HfApi().repo_info(
            name.repo, repo_type=name.kind, revision=name.revision, files_metadata=True
        )
    there = {sibling.rfilename: sibling for sibling in info.siblings}
    files = tuple(
        File(
            name=path,
            size=int(there[path].size or 0),
            sha256=there[path].lfs.sha256 if there[path].lfs else None,
            git_sha1=None if there[path].lfs else there[path].blob_id,
        )
        for path in _wanted(name, list(there), settings_only)
    )
    card: Any = getattr(info, "card_data", None) or {}
    stated = strictest(card.get("license"), card.get("license_name"))
    row = known().get(name.repo)
    table = UNKNOWN if row is None else row.licence
    licence = stated if table == UNKNOWN or (non_commercial(stated) and not non_commercial(table)) else table
    return Listing(name=name, commit=info.sha, files=files, licence=licence)


def _wanted(name: HubName, there: list[str], settings_only: bool) -> list[str]:
    """The files to fetch of those that are there."""
    if name.kind == "dataset":
        files = [path for path in there if PurePosixPath(path).suffix.lower() in DATA | IMAGE_SUFFIXES]
        if not files:
            raise ModelError(f"{name} has no file of data. It has {', '.join(sorted(there)[:8])}.")
        return files
    row = known().get(name.repo)
    settings = [path for path in SETTINGS if path in there]
    if settings_only:
        return settings
    if row is not None and row.files:
        missing = [path for path in row.files if path not in there]
        if missing:
            raise ModelError(f"{name} has no {missing[0]} (any more): it is not the repository that we know.")
        return [*settings, *row.files]
    weights = next((path for path in WEIGHTS if path in there), None)
    if weights is None or "config.json" not in there:
        raise ModelError(
            f"{name} is no transformers repository: expected config.json and one of {', '.join(WEIGHTS)}. "
            f"It has {', '.join(sorted(there)[:8])}."
        )
    kind = "." + weights.removesuffix(".index.json").rpartition(".")[2]
    shards = [path for path in there if SHARD.search(path) and path.endswith(kind)]
    return [*settings, *(sorted(shards) if weights.endswith("index.json") else []), weights]


def fetch(wanted: Listing, *, progress: Progress = lambda what, done, total: None) -> Path:
    """The folder with all files of the listing: each fetched if it is not there, its hash compared.

    Raises:
        ConfigError, ModelError: as `listing`; also a file with another hash than the Hub says: it is removed.
    """
    from huggingface_hub import hf_hub_download

    folder: Path | None = None
    for index, file in enumerate(wanted.files):
        progress(file.name, index, len(wanted.files))
        with explained(wanted.name):
            path = Path(
                hf_hub_download(
                    wanted.name.repo,
                    file.name,
                    repo_type=wanted.name.kind,
                    revision=wanted.name.revision,
                )
            )
        if path.parents[len(Path(file.name).parts) - 1].name != wanted.commit:
            raise ModelError(f"{wanted.name} changed while it was fetched. Run it again, or name a revision.")
        _verify(path, file)
        folder = path.parents[len(Path(file.name).parts) - 1]
        progress(file.name, index + 1, len(wanted.files))
    assert folder is not None, "a listing has files"
    return folder


def _verify(path: Path, file: File) -> None:
    if file.sha256 is None and file.git_sha1 is None:
        raise ModelError(f"{path}: the Hub states no hash, so it cannot be verified. Use another mirror.")
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != (file.sha256 or file.git_sha1):
        blob = path.resolve()
        path.unlink()
        blob.unlink(missing_ok=True)
        raise ModelError(f"{file.name} has another hash than the Hub says; it was removed. Fetch it again.")


@contextmanager
def explained(name: HubName) -> Iterator[None]:
    """Turns what the Hub's client raises into what to do."""
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ConfigError(
            f"{name} cannot be fetched: HF_HUB_OFFLINE is set. Unset it, or copy the model's folder from "
            "another machine and name the folder."
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name} is given on request only: ask on its page, then log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"{name}: the repository has no such revision.") from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigError(
            f"{constants.ENDPOINT} has no {name.kind} {name.repo!r}, or it is private."
        ) from error
    except errors.HfHubHTTPError as error:
        raise ModelError(f"{name}: {constants.ENDPOINT} answers: {error}") from error
    except Exception as error:  # of the network; the client's own library changes from version to version
        if isinstance(error, ConfigError | ModelError):
            raise
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise ModelError(
                f"{name} cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}). Make room, or let "
                "HF_HOME name another folder; files that are there stay."
            ) from error
        raise ModelError(
            f"{constants.ENDPOINT} cannot be reached for {name} ({type(error).__name__}: {error}). "
            "Try again, set HF_ENDPOINT to a mirror, or name a local folder."
        ) from error
