"""A model on the Hugging Face Hub: its folder written, and given to the Hub in one commit.

Nothing is uploaded but by `push`, and nothing under a licence that the weights do not have.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperaware.errors import ConfigError, ModelError
from hyperaware.evaluation.runs import Run
from hyperaware.export.folder import Written, export
from hyperaware.models.card import licence_of_model
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.hub import HubName, explained, parse
from hyperaware.models.licences import UNKNOWN, non_commercial

__all__ = ["Pushed", "licence_to_push", "push"]


@dataclass(frozen=True)
class Pushed:
    """What was, or in a dry run would be, uploaded."""

    name: str
    written: Written
    license: str
    private: bool
    """Of a repository that is made; one that is there keeps what it is."""
    commit: str | None
    """None: nothing was uploaded."""
    url: str | None


def push(
    model: DualEncoder,
    name: str,
    *,
    format: str = "hyperaware",
    license: str | None = None,
    public: bool = False,
    runs: Sequence[Run] = (),
    out: str | Path | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Write the model as `export` does and upload it to `hf:ORG/NAME`, which is made, private, if need be.

    Args:
        license: of the weights, needed where it is not known.
        public: make a repository that everybody can see.
        out: keep the folder here. [default: it is removed; needed for a dry run]
        dry_run: write the folder, and upload nothing.

    Raises:
        ConfigError: no such name; no token; a licence that the weights do not have; a dry run without `out`.
        ModelError: the Hub refuses, or cannot be reached.
    """
    hub_name = parse(name)
    if hub_name is None or hub_name.revision is not None:
        raise ConfigError(f"got {name!r}, expected hf:ORG/NAME.")
    if dry_run and out is None:
        raise ConfigError("a dry run writes a folder: name it with out= (--out).")
    licence = licence_to_push(model, license)
    token = None if dry_run else _token()
    with _folder(out) as folder:
        written = export(
            model, format=format, out=folder, runs=runs, license=licence, published=str(hub_name)
        )
        commit, url = (None, None) if token is None else _upload(hub_name, written, token, private=not public)
    return Pushed(name=name, written=written, license=licence, private=not public, commit=commit, url=url)


def licence_to_push(model: DualEncoder, given: str | None) -> str:
    """The licence that the card states.

    Raises:
        ConfigError: nobody said which one; or the weights are non-commercial and another one was named.
    """
    inherited = licence_of_model(model)
    if non_commercial(inherited) and given is not None and given.lower() != inherited.lower():
        raise ConfigError(
            f"{model.name} comes from weights under {inherited}, which forbids commercial use: it cannot be "
            f"published under {given}. Leave out --license."
        )
    if given is None and inherited == UNKNOWN:
        raise ConfigError(
            f"the licence of {model.name} is not known. Name it with --license, as those who made its "
            "weights, and those of its base, state it."
        )
    return inherited if given is None else given


def _token() -> str:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise ConfigError("HF_HUB_OFFLINE is set, so nothing can be uploaded. Unset it, or use --dry-run.")
    token = get_token()
    if token is None:
        raise ConfigError(
            "there is no token for the Hugging Face Hub. Log in with `hf auth login`, or set HF_TOKEN, with "
            "one that may write; --dry-run needs none."
        )
    return token


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "model"


def _upload(name: HubName, written: Written, token: str, *, private: bool) -> tuple[str, str]:
    """The commit and its address: one commit, so that the repository never holds half a model."""
    from huggingface_hub import CommitOperationAdd, HfApi, errors

    operations = [
        CommitOperationAdd(path_in_repo=file, path_or_fileobj=written.folder / file) for file in written.files
    ]
    api = HfApi(token=token)
    with explained(name):
        try:
            api.create_repo(name.repo, private=private, exist_ok=True)
            done = api.create_commit(
                name.repo, operations, commit_message=f"{written.format} model, by hyperaware"
            )
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                raise ModelError(
                    f"the Hub does not let this token write to {name} ({status}): it may be read-only, or "
                    f"not of a member of {name.repo.partition('/')[0]!r}. See `hf auth whoami`."
                ) from error
            raise
    return done.oid, done.commit_url
