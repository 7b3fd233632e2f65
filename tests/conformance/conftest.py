"""Every store of the table in every space, opened in a folder of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_samples import SPACES

from hyperaware.geometry.space import Space
from hyperaware.index import STORES
from hyperaware.index.store import Store
from hyperaware.options import resolve

Open = Callable[..., Store]


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> Space:
    return SPACES[request.param]


@pytest.fixture
def open_store(kind: str, space: Space, tmp_path: Path) -> Iterator[Open]:
    """Opens the store under test, again and again if wanted: always the same index."""
    opened: list[Store] = []

    def open_it(*, space: Space = space, model_fingerprint: str = "model-a", create: bool = True) -> Store:
        store = resolve("store", kind, STORES)(
            tmp_path / "index", space=space, model_fingerprint=model_fingerprint, create=create
        )
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()
