"""Fixtures of the server's tests: the shipped model over a small gallery, in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served_app import PATIENCE, made_index, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT, load
from hyperaware.records.keys import KeyRing
from hyperaware.server.supervisor import Supervisor
from hyperaware.world import export

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def model() -> DualEncoder:
    """The shipped default model, which tells safe and unsafe rows of the world apart."""
    return load(DEFAULT)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Twelve rows of the world: a safe and an unsafe picture each."""
    return export(tmp_path_factory.mktemp("gallery"), count=12, split="test")


@pytest.fixture(scope="session")
def unsafe_text(rows: list[Row], model: DualEncoder) -> str:
    """The caption that lies farthest out."""
    texts = [row.unsafe_text for row in rows]
    return texts[int(model.space.root_distance(model.encode_text(texts)).argmax())]


@pytest.fixture(scope="session")
def shared_index(tmp_path_factory: pytest.TempPathFactory, rows: list[Row], model: DualEncoder) -> Path:
    """An index of the rows' pictures, for tests that do not change it."""
    return made_index(tmp_path_factory.mktemp("shared"), rows, model)


@pytest.fixture
def own_index(tmp_path: Path, rows: list[Row], model: DualEncoder) -> Path:
    """An index of the rows' pictures that the test may change."""
    return made_index(tmp_path, rows, model)


@pytest.fixture(scope="session")
def demo(
    model: DualEncoder, shared_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A client of the demo, with every role, over the shared index."""
    with served(model, index=shared_index, state=tmp_path_factory.mktemp("state")) as client:
        yield client


@pytest.fixture(scope="module")
def ring_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys, in a folder that may be a server's state."""
    path = tmp_path_factory.mktemp("keyed") / "keys.json"
    KeyRing.read(path, create=True).create("viewer", "the first")
    return path


@pytest.fixture
def keyed(ring_file: Path) -> Callable[..., dict[str, str]]:
    """Makes keys, and gives the header of each."""
    ring = KeyRing.read(ring_file)

    def make(role: str = "viewer", *scopes: str) -> dict[str, str]:
        chosen = scopes or ("search", "moderate")
        return {"Authorization": f"Bearer {ring.create(role, 'a test', scopes=chosen)[1]}"}

    return make


@pytest.fixture
def fake_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors of `fake_worker` processes, started and waited for, and stops them in the end."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    made = []

    def make(model: str = "fake-1", *, wait: bool = True, **options: Any) -> Supervisor:
        supervisor = Supervisor(model, worker="fake_worker", **options)
        made.append(supervisor)
        supervisor.start()
        assert not wait or supervisor.wait(PATIENCE)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.stop()
