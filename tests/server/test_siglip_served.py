"""A model that squashes pictures and has no root, served from end to end: what the server's processes do to a
picture is what the model itself does."""

import json
import time
from collections.abc import Iterator
from io import BytesIO

import pytest
import torch
from model_samples import CAPTIONS, random_picture
from published_samples import SIGLIP_PREPROCESSOR, tiny_siglip, write_siglip_tokenizer, write_transformers
from served_app import LOCAL, PATIENCE, data_url
from starlette.testclient import TestClient

from hyperaware.catalogue import start_store
from hyperaware.index.ingest import ingest
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.models.squash import Squash
from hyperaware.server.app import create_app
from hyperaware.server.settings import DEMO_POLICY, Settings

WIDE = random_picture(99, size=(48, 20))
"""A centre crop of it is another picture than all of it."""
SEES_ALL = {"role": "researcher"}
"""Nothing can be judged without a root, so only a role that may see everything is answered."""


def file_of_wide() -> bytes:
    file = BytesIO()
    WIDE.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    folder = tmp_path_factory.mktemp("siglip")
    write_transformers(folder, tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(folder)
    return load(folder)


@pytest.fixture(scope="module")
def client(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a server whose model lives in a process of its own."""
    pictures = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        random_picture(seed, size=(30, 20)).save(pictures / f"{seed}.png")
    index = tmp_path_factory.mktemp("index")
    with start_store(index, model) as store:
        ingest(store, model, pictures)
    settings = Settings(
        index=index,
        state=tmp_path_factory.mktemp("state"),
        policy=DEMO_POLICY,
        demo=True,
        spare_worker=False,
        request_seconds=PATIENCE,
        decode_seconds=PATIENCE,
    )
    with TestClient(create_app(settings), base_url=LOCAL, raise_server_exceptions=False) as client:
        deadline = time.monotonic() + PATIENCE
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline, client.get("/health/ready").text
            time.sleep(0.02)
        yield client


def test_the_model_squashes(model: DualEncoder) -> None:
    assert isinstance(model.preprocess, Squash)
    assert not model.space.has_root


def test_pictures_and_texts_have_the_models_own_points(client: TestClient, model: DualEncoder) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(file_of_wide())}},
        *({"type": "text", "text": text} for text in CAPTIONS),
    ]
    answer = client.post("/v1/embeddings", json={"input": parts}).json()
    found = torch.tensor([each["embedding"] for each in answer["data"]])
    torch.testing.assert_close(found[:1], model.encode_image(WIDE), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1:], model.encode_text(CAPTIONS), rtol=0, atol=1e-5)


def test_a_picture_is_moderated_for_who_may_see_what_nobody_judged(client: TestClient) -> None:
    parts = [{"type": "image_url", "image_url": {"url": data_url(file_of_wide())}}]
    answer = client.post("/v1/moderations", json={"input": parts, **SEES_ALL})
    assert answer.status_code == 200, answer.text
    (part,) = answer.json()["results"][0]["safety"]["parts"]
    assert (part["score"], part["bound"], part["verdict"]["action"]) == (None, None, "allow")
    assert answer.json()["results"][0]["flagged"]  # not judged is not safe
    refused = client.post("/v1/moderations", json={"input": parts})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unjudged")


def test_an_added_picture_is_found_by_itself(client: TestClient, model: DualEncoder) -> None:
    added = client.post("/v1/items", json={"image": {"url": data_url(file_of_wide())}, "caption": "wide"})
    assert added.status_code == 201, added.text
    body = {"image": {"url": data_url(file_of_wide())}, "k": 1, **SEES_ALL}
    (found,) = client.post("/v1/search", json=body).json()["items"]
    assert found["id"] == added.json()["id"]
    assert found["similarity"] == pytest.approx(1, abs=1e-5)
    by_text = client.post("/v1/search", json={"text": CAPTIONS[0], "k": 5, **SEES_ALL}).json()["items"]
    expected = model.space.similarity(model.encode_text(CAPTIONS[0]), model.encode_image(WIDE))
    shown = {item["id"]: item["similarity"] for item in by_text}
    assert shown[added.json()["id"]] == pytest.approx(float(expected), abs=1e-5)


def test_the_tokenizer_of_the_server_is_the_models(client: TestClient, model: DualEncoder) -> None:
    """The model lower-cases, which its tokenizer.json does not say: windows must be counted as it counts."""
    ours = client.app.state.engine.parts.model.tokenizer  # type: ignore[attr-defined]
    assert "lowercase" not in json.dumps(json.loads((model.folder / "tokenizer.json").read_text())).lower()
    assert ours(["A RED BALL"])[0].tolist() == model.tokenizer(["a red ball"])[0].tolist()
