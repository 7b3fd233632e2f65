"""Models of the Hub that may be used here: licence accepted, files on this machine or fetched on request.

Nothing heavy is imported: `hyperaware download` needs no torch.
"""

from pathlib import Path

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models import hub
from hyperaware.models.hub import HubName, Listing
from hyperaware.models.licences import known, licence_of, remember, require_accepted

__all__ = ["base_of", "find", "listings", "remember_accepted"]


def find(name: HubName, *, download: bool, accepted: str | None, settings_only: bool = False) -> Path:
    """The folder of a Hub model's files on this machine; fetched first if `download`, and never otherwise.

    Raises:
        ConfigError: it is not here and may not be fetched; its licence was not accepted; it must be imported.
        ModelError: it could not be fetched, or is damaged.
    """
    row = known().get(name.repo)
    if download:
        wanted = listings(name, accepted=accepted)
        for each in wanted:
            hub.fetch(each)
        remember_accepted(wanted, accepted=accepted)
    _require_loadable(name)
    folder = hub.cached(name, settings_only=settings_only)
    if folder is None:
        base = f", and of {row.base}" if row is not None and row.base else ""
        raise ConfigError(
            f"{name} is not on this machine. `hyperaware download {name}` fetches its config, tokenizer and "
            f"weights{base} (--dry-run says how large they are); or load(..., download=True)."
        )
    licence = licence_of(name.repo, folder)
    require_accepted(name.repo, licence, accepted=accepted, record=hub.licences_file())
    return folder


def _require_loadable(name: HubName) -> None:
    row = known().get(name.repo)
    if row is not None and not row.loads:
        raise ConfigError(f"{name.repo} is no single model but files: {row.what}. See {row.source}.")


def listings(name: HubName, *, accepted: str | None) -> list[Listing]:
    """What would be fetched of a model and its base, or a data set. Asks the network, the licence accepted.

    Raises:
        ConfigError: its licence was not accepted; the Hub is switched off or does not have it.
        ModelError: the Hub cannot be reached, or has no weights that can be read.
    """
    record = hub.licences_file()
    row = known().get(name.repo) if name.kind == "model" else None
    if name.kind == "model":
        _require_loadable(name)
    if row is not None:  # before anything is asked of the network
        require_accepted(name.repo, row.licence, accepted=accepted, record=record)
    wanted = hub.listing(name)
    require_accepted(name.repo, wanted.licence, accepted=accepted, record=record)
    if row is None or row.base is None:
        return [wanted]
    return [wanted, hub.listing(HubName(row.base), settings_only=True)]


def remember_accepted(wanted: list[Listing], *, accepted: str | None) -> None:
    """Keep an acceptance, now that what it was given for is here."""
    if accepted is not None:
        remember(wanted[0].name.repo, wanted[0].licence, record=hub.licences_file())


def base_of(name: HubName) -> Path:
    """The folder of the checkpoint that `name` takes its tokenizer from; it comes with `name`.

    Raises:
        ConfigError: that one is not on this machine.
        ModelError: no base is known.
    """
    row = known().get(name.repo)
    if row is None or row.base is None:
        raise ModelError(
            f"{name} has no tokenizer. Take another's: `hyperaware import transformers DIR --tokenizer PATH`."
        )
    return find(HubName(row.base), download=False, accepted=None, settings_only=True)
