"""Data sets of the Hugging Face Hub that are on this machine, and folders that `datasets` has saved.

Nothing is fetched here: `hyperaware download --data` does that. Pictures are not decoded by `datasets` but
kept as files and decoded by our own reader.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperaware.data.captions import COLUMNS, rows_from
from hyperaware.data.record import Reading, RowProblem, gather
from hyperaware.errors import ConfigError, DataError
from hyperaware.models import hub

__all__ = ["is_saved", "scan_hub", "scan_saved"]

SAVED = ("dataset_dict.json", "dataset_info.json")
"""What `save_to_disk` writes into a folder: of several splits, and of one."""


def is_saved(folder: Path) -> bool:
    """Whether `datasets` has saved this folder by `save_to_disk`."""
    return any((folder / name).is_file() for name in SAVED)


def scan_saved(
    folder: Path, *, cache: Path, split: str | None = None, columns: Mapping[str, str] | None = None
) -> Reading:
    """The quadruplets of a folder that `save_to_disk` wrote, of all its splits or of one.

    Raises:
        ConfigError: `datasets` is not installed.
        DataError: the folder is damaged, or has no such split.
    """
    datasets = _library(str(folder))
    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:  # of Arrow, of JSON, of the file system
        raise _damaged(str(folder), error) from error
    if isinstance(data, datasets.Dataset):
        data = {split or str(data.split or "train"): data}
    return _scan(str(folder), (folder,), data, cache=cache, split=split, columns=columns or {})


def scan_hub(
    name: str,
    *,
    cache: Path,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Reading:
    """The quadruplets of ORG/NAME[@REVISION] in the Hub's cache, or of a folder with the files of one.

    The rows of the data set's split `validation` are of split `validation`, unless a column `split` says
    otherwise; where it has several splits, ids are SPLIT-ID. They are read as a stream; no second copy of the
    data set is made, but of its pictures.

    Args:
        config: of a data set that has several.
        split: read this one only.

    Raises:
        ConfigError: `datasets` is not installed, or the data set is not on this machine.
        DataError: nothing of it can be read, or it has no such split, or it names data on other machines.
    """
    datasets = _library(name)
    folder = Path(name)
    own: tuple[Path, ...] = (folder,)
    if not folder.is_dir():
        parsed = hub.parse(hub.PREFIX + name)
        assert parsed is not None, "it has the prefix"
        found = hub.cached_data(parsed)
        if found is None:
            raise ConfigError(
                f"{parsed} is not on this machine. `hyperaware download --data {parsed}` fetches it "
                "(--dry-run says how large it is); or give the folder of its files, hf:FOLDER."
            )
        folder = found
        own = (folder, folder.parents[1])  # the files of a snapshot are links to blobs beside it
    _require_local(folder)
    try:
        data = datasets.load_dataset(str(folder.absolute()), name=config, streaming=True)
    except Exception as error:
        raise _damaged(name, error) from error
    return _scan(hub.PREFIX + name, own, dict(data), cache=cache, split=split, columns=columns or {})


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(f"{name} needs datasets: pip install 'hyperaware[data]'.") from error
    return datasets


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(f"{name} cannot be read as a data set ({type(error).__name__}: {error}).")


def _require_local(folder: Path) -> None:
    """Refuses a data set whose card names files on other machines: reading never asks the network."""
    import yaml
    from huggingface_hub import metadata_load

    card, own = folder / "README.md", folder / ".huggingface.yaml"
    try:
        said = [metadata_load(card) if card.is_file() else None]
        said.append(yaml.safe_load(own.read_text(encoding="utf-8")) if own.is_file() else None)
    except (yaml.YAMLError, ValueError) as error:
        raise _damaged(str(folder), error) from error
    named = [part.get("configs") for part in said if isinstance(part, dict)]
    if "://" in str(named):
        raise DataError(f"{folder} names data on other machines, {named}; expected files of its own.")


def _scan(
    source: str,
    own: tuple[Path, ...],
    data: Mapping[str, Any],
    *,
    cache: Path,
    split: str | None,
    columns: Mapping[str, str],
) -> Reading:
    if split is not None and split not in data:
        raise DataError(f"{source} has no split {split!r}. Its splits: {', '.join(sorted(data))}.")
    chosen = [
        _records(
            f"{source}, {name}", part, prefix=f"{name}-" if len(data) > 1 else "", split=name, columns=columns
        )
        for name, part in data.items()
        if split in (None, name)
    ]
    make = rows_from(own[0].absolute(), cache=cache, split="train", columns=columns)
    known = COLUMNS | set(columns.values())
    return gather(source, itertools.chain(*chosen), make, known=known, inside=(*own, cache))


def _records(
    source: str, data: Any, *, prefix: str, split: str, columns: Mapping[str, str]
) -> Iterator[tuple[str, Any] | RowProblem]:
    """Records of a split: pictures as bytes or paths, class labels as their names, ids as texts."""
    datasets = _library(source)
    names, own, number = {}, columns.get("id", "id"), -1
    try:
        for column, feature in (data.features or {}).items():
            if isinstance(feature, datasets.Image):
                data = data.cast_column(column, datasets.Image(decode=False))
            elif isinstance(feature, datasets.ClassLabel):
                names[column] = feature.names
        for number, record in enumerate(data):
            for column, known in names.items():
                value = record[column]
                record[column] = known[value] if isinstance(value, int) and 0 <= value < len(known) else value
            if record.get(own) is None:
                record["id"] = f"{split}-{number}"
            else:
                record[own] = f"{prefix}{record[own]}"
            yield f"{source} row {number}", {"split": split} | record
    except Exception as error:  # of whatever reads the file
        rest = "nothing" if number < 0 else f"nothing after row {number}"
        why = f"{rest} can be read ({type(error).__name__}: {error}). Fetch it anew."
        yield RowProblem(why, where=source, reason="bad_row")
