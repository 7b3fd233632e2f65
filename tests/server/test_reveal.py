"""What is under review is masked or blurred until somebody reveals it, which is recorded; and copies for
reviewers go when their time is over."""

import os
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from served_app import data_url, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.errors import RecordError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.records.chain import records
from hyperaware.server.quarantine import DAY, HOUR, Quarantine

Keyed = Callable[..., dict[str, str]]
HARSH = "A gun — 2 men, \U0001f52a\nand a bloody axe"


def revealed(state: Path) -> list[dict]:
    return [dict(each.fields) for each in records(state / "audit.jsonl") if each.event == "revealed"]


def held(client: TestClient, given: object) -> str:
    """The id of the case that moderating this opens."""
    before = {case["id"] for case in client.get("/v1/reviews").json()}
    answer = client.post("/v1/moderations", json={"input": given, "role": "moderated"}).json()
    assert answer["results"][0]["safety"]["action"] == "review"
    (id,) = {case["id"] for case in client.get("/v1/reviews").json()} - before
    return id


def test_a_text_is_masked_until_it_is_revealed_and_that_is_recorded(
    model: DualEncoder, tmp_path: Path
) -> None:
    with served(model, state=tmp_path) as client:
        id = held(client, HARSH)
        masked = client.get(f"/v1/reviews/{id}/content")
        assert masked.headers["content-type"] == "text/plain; charset=utf-8"
        assert masked.text == "• ••• • • •••• •\n••• • •••••• •••"
        assert revealed(tmp_path) == []
        clear = client.get(f"/v1/reviews/{id}/content", params={"reveal": True})
        assert clear.text == HARSH
        assert [each["review_id"] for each in revealed(tmp_path)] == [id]
        assert revealed(tmp_path)[0]["reviewer"] == "visitor"
        assert "bloody" not in (tmp_path / "audit.jsonl").read_text()


def test_what_cannot_be_recorded_is_not_revealed(model: DualEncoder, tmp_path: Path, rows: list[Row]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RecordError("no space left", reason="disk")

    with served(model, state=tmp_path) as client:
        picture = {"type": "image_url", "image_url": {"url": data_url(rows[0].unsafe_image)}}
        cases = [held(client, HARSH), held(client, [picture])]
        log = client.app.state.engine._audit  # type: ignore[attr-defined]
        append, log.append = log.append, broken
        for id in cases:
            hidden = client.get(f"/v1/reviews/{id}/content")
            assert hidden.status_code == 200  # nothing is revealed, so nothing need be recorded
            answer = client.get(f"/v1/reviews/{id}/content", params={"reveal": True})
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_recorded")
        log.append = append
        assert client.get(f"/v1/reviews/{cases[0]}/content", params={"reveal": True}).text == HARSH
        shown = client.get(f"/v1/reviews/{cases[1]}/content", params={"reveal": True})
        assert Image.open(BytesIO(shown.content)).format == "JPEG"


# -- copies ----------------------------------------------------------------------------------------------


class Clocks:
    """In place of the module `time`: both clocks go on by hand."""

    def __init__(self) -> None:
        self.now, self.since = time.time(), 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.since


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr("hyperaware.server.quarantine.time", clocks)
    return clocks


def test_copies_go_when_their_time_is_over_also_while_the_server_runs(tmp_path: Path, clocks: Clocks) -> None:
    copies = Quarantine(tmp_path / "copies", days=2)
    old, new = (copies.keep(letter * 64, letter.encode(), "text") for letter in "ab")
    os.utime(tmp_path / "copies" / old, (clocks.now - 2.1 * DAY,) * 2)
    other = tmp_path / "copies" / "notes.txt"
    other.write_text("not ours")
    os.utime(other, (clocks.now - 100 * DAY,) * 2)
    clocks.since += HOUR - 1
    assert copies.read(old) == b"a"  # looked through less than an hour ago
    clocks.since += 1
    assert copies.read(new) == b"b"
    with pytest.raises(RecordError, match="kept for 2 days"):
        copies.read(old)
    assert {path.name for path in (tmp_path / "copies").iterdir()} == {new, "notes.txt"}


def test_a_clock_that_was_set_back_keeps_no_copy_for_longer(tmp_path: Path, clocks: Clocks) -> None:
    clocks.now += 1000 * DAY
    copies = Quarantine(tmp_path, days=2)
    clocks.now -= 1000 * DAY
    name = copies.keep("a" * 64, b"a", "text")
    os.utime(tmp_path / name, (clocks.now - 2.1 * DAY,) * 2)
    clocks.since += HOUR
    with pytest.raises(RecordError, match="kept for 2 days"):
        copies.read(name)


def test_copies_that_are_too_old_are_gone_after_a_start(tmp_path: Path) -> None:
    name = Quarantine(tmp_path, days=1).keep("c" * 64, b"c", "image")
    os.utime(tmp_path / name, (time.time() - 1.5 * DAY,) * 2)
    with pytest.raises(RecordError):
        Quarantine(tmp_path, days=1).read(name)


@pytest.mark.parametrize("name", ["../keys.json", "a", "", "/etc/passwd", "A" * 64 + ".txt"])
def test_no_other_file_is_read(name: str, tmp_path: Path) -> None:
    copies = Quarantine(tmp_path / "copies", days=1)
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(RecordError):
        copies.read(name)
