"""What is particular to the store in one SQLite file: whose file it is, and in what state."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hyperaware.errors import StoreError
from hyperaware.geometry.space import Lorentz
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.index.store import Item


def opened(folder: Path) -> SQLiteStore:
    return SQLiteStore(folder, space=Lorentz(1.0), model_fingerprint="m")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a closed index with 200 items."""
    generator = torch.Generator().manual_seed(0)
    with opened(tmp_path) as store:
        store.add(
            Item(id=f"{n:03}", path=f"{n:03}.png", modality="image", vector=vector, state="unscored")
            for n, vector in enumerate(torch.randn(200, 64, generator=generator))
        )
    return tmp_path / "index.sqlite"


@pytest.fixture
def raw(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


def test_a_database_of_someone_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="no index of ours"):
        opened(tmp_path)
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"hello" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        opened(tmp_path / "file")


def test_a_file_that_was_made_and_never_filled_is_begun_anew(tmp_path: Path) -> None:
    """What a process leaves that is killed before its first commit."""
    (tmp_path / "index.sqlite").touch()
    with opened(tmp_path) as store:
        assert store.count == 0


def test_another_schema_is_refused(file: Path, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA user_version = 3")
    with pytest.raises(StoreError, match="schema version 3, but this hyperaware reads 2"):
        opened(file.parent)


# The tables of the first release, as they were.
SCHEMA_1 = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value);
    CREATE TABLE items (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, modality TEXT NOT NULL,
        caption TEXT, content_hash TEXT, vector BLOB, score REAL, state TEXT NOT NULL, reason TEXT,
        added REAL NOT NULL, updated REAL NOT NULL,
        CHECK (modality IN ('image', 'text')),
        CHECK ((state = 'failed') = (vector IS NULL)),
        CHECK ((state = 'ok') = (score IS NOT NULL)),
        CHECK (state IN ('ok', 'unscored') OR (state = 'failed' AND reason IS NOT NULL))
    );
    INSERT INTO meta VALUES
        ('model_fingerprint', 'm'), ('space', '{"curv": 1.0, "name": "lorentz"}'), ('dimension', 2),
        ('root', NULL), ('generation', 7);
    INSERT INTO items VALUES
        (1, 'a', 'a.png', 'image', 'A', NULL, x'0000003F00000000', 0.5, 'ok', NULL, 0, 0),
        (2, 'b', 'b.png', 'image', NULL, NULL, NULL, NULL, 'failed', 'truncated: cut', 0, 0);
    PRAGMA application_id = 1213808983;
    PRAGMA user_version = 1;
"""


@pytest.mark.parametrize("opened_before", [0, 1])
def test_an_index_of_the_first_release_opens_and_its_items_have_no_categories(
    tmp_path: Path, opened_before: int
) -> None:
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        database.executescript(SCHEMA_1)
    for _ in range(opened_before):
        opened(tmp_path).close()
    query = torch.tensor([[0.5, 0.0]])
    with opened(tmp_path) as store:
        assert store.count == 2
        (hits,) = store.search(query, k=9, modality="image", max_score=0.5)
        assert [(hit.path, hit.caption, hit.categories) for hit in hits] == [("a.png", "A", None)]
        limit = {"violence": 1.0}
        assert store.search(query, k=9, modality="image", max_score=0.5, max_categories=limit) == [[]]
        assert store.get("a", max_score={"image": None}, max_categories=limit) is None
        item = store.get("a")
        assert item is not None
        store.bind_concepts("c")
        assert store.record_categories([replace(item, categories={"violence": 1.0})]) == 1
        assert len(store.search(query, k=9, modality="image", max_score=0.5, max_categories=limit)[0]) == 1


def test_an_index_of_another_model_is_not_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        database.executescript(SCHEMA_1)
    with pytest.raises(StoreError, match="built by model m"):
        SQLiteStore(tmp_path, space=Lorentz(1.0), model_fingerprint="other")
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert len(database.execute("PRAGMA table_info(items)").fetchall()) == 12


@pytest.mark.parametrize("damage", ["no JSON", "[]", '{"hate": 2}', '{"hate": "0"}', '{"hate": NaN}', "0"])
def test_damaged_categories_are_none_under_a_limit_and_are_found(
    file: Path, raw: sqlite3.Connection, damage: str
) -> None:
    raw.execute("UPDATE items SET categories = ? WHERE id = '007'", (damage,))
    query = torch.zeros(1, 64)
    with opened(file.parent) as store:
        limits = {"max_score": None, "max_categories": {"hate": 1.0}}
        assert store.search(query, k=9, modality="image", **limits) == [[]]
        (hits,) = store.search(query, k=999, modality="image", max_score=None)
        assert {hit.categories for hit in hits} == {None}
        assert store.get("007", max_score={"image": None}, max_categories={"hate": 1.0}) is None
        (problem,) = store.verify()
        assert problem.startswith("007.png: the row cannot be read")
        with pytest.raises(StoreError, match="row of item '007' is damaged"):
            store.get("007")


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store._database.pragma("journal_mode") == "wal"
        assert store._database.pragma("synchronous") == 2  # FULL


def test_a_full_disk_is_a_store_error_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store._database.pragma("max_page_count = 20")
        vector = torch.ones(4)
        item = Item(id="a", path="a", modality="image", vector=vector, state="unscored", caption="x" * 10**6)
        with pytest.raises(StoreError, match="full"):
            store.add([item])
        assert store.count == 0
        store.add([Item(id="b", path="b", modality="image", vector=vector, state="unscored")])
        assert store.count == 1


def test_verify_finds_damaged_pages(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for offset in range(4096 * 3, len(data), 4096 * 5):
        data[offset : offset + 64] = bytes(range(64))
    file.write_bytes(data)
    with opened(file.parent) as store:
        problems = store.verify()
    assert problems
    assert all("index.sqlite" in problem for problem in problems)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("vector = zeroblob(8)", "007.png: the vector has 2 coordinates, expected 64"),
        ("vector = zeroblob(7)", "007.png: the row cannot be read"),
        ("vector = CAST(x'0000C07F' || substr(vector, 5) AS BLOB)", "007.png: the vector is not finite"),
        ("state = 'ok', score = 0.25", "007.png: the score is 0.2500, but the root distance is"),
    ],
)
def test_verify_finds_rows_that_were_tampered_with(
    file: Path, raw: sqlite3.Connection, change: str, problem: str
) -> None:
    raw.execute(f"UPDATE items SET {change} WHERE id = '007'")
    with opened(file.parent) as store:
        (found,) = store.verify()
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "change",
    ["state = 'ok'", "state = 'failed'", "score = 0.5", "vector = NULL", "modality = 'video'", "state = 'x'"],
)
def test_the_database_itself_refuses_states_that_contradict_themselves(
    raw: sqlite3.Connection, change: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(f"UPDATE items SET {change} WHERE id = '007'")


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "ok"},
        {"state": "ok", "vector": torch.ones(3)},
        {"state": "ok", "score": 0.5},
        {"state": "ok", "vector": torch.ones(3), "score": float("nan")},
        {"state": "ok", "vector": torch.ones(3, dtype=torch.float64), "score": 0.5},
        {"state": "ok", "vector": torch.ones(1, 3), "score": 0.5},
        {"state": "unscored", "vector": torch.ones(3), "score": 0.5},
        {"state": "failed"},
        {"state": "failed", "reason": "cut", "vector": torch.ones(3)},
        {"state": "safe", "vector": torch.ones(3)},
        {"state": "unscored", "vector": torch.ones(3), "modality": "video"},
        {"state": "failed", "reason": "cut", "categories": {"hate": 0.5}},
        {"state": "unscored", "vector": torch.ones(3), "categories": {"hate": 1.5}},
        {"state": "unscored", "vector": torch.ones(3), "categories": {"hate": float("nan")}},
        {"state": "unscored", "vector": torch.ones(3), "categories": {"hate": True}},
        {"state": "unscored", "vector": torch.ones(3), "categories": {"": 0.5}},
        {"state": "unscored", "vector": torch.ones(3), "categories": [0.5]},
    ],
)
def test_items_that_contradict_themselves_cannot_be_made(fields: dict) -> None:
    with pytest.raises(StoreError, match=r"item 'a\.png'"):
        Item(**{"id": "a", "path": "a.png", "modality": "image", **fields})
