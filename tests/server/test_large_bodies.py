"""A body that is wrong in a million places costs no more than one that is wrong in a few."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

from hyperaware.server.embeddings import EmbeddingRequest
from hyperaware.server.moderations import ModerationRequest
from hyperaware.server.searches import SearchRequest
from hyperaware.server.trials import TrialRequest

MANY = 20_000
FEW = 10
"""Complaints about one body: some for each shape that was expected."""


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (ModerationRequest, {"input": [1] * MANY}),
        (ModerationRequest, {"input": [{}] * MANY}),
        (ModerationRequest, {"input": ["a"] * MANY}),
        (ModerationRequest, {"input": [{"type": "text", "text": ""}] * MANY}),
        (ModerationRequest, {"input": [{"type": "text", "text": "a"}] * MANY}),
        (ModerationRequest, {"input": "a", **dict.fromkeys(map(str, range(MANY)))}),
        (ModerationRequest, {"input": [{"type": "text", **dict.fromkeys(map(str, range(MANY)))}]}),
        (EmbeddingRequest, {"input": [None] * MANY}),
        (SearchRequest, {"text": "a", "ids": ["?"] * MANY}),
        (SearchRequest, {"text": "a", "ids": ["a"] * MANY}),
        (TrialRequest, {"text": "a", "categories": dict.fromkeys(map(str, range(MANY)), 2)}),
    ],
)
def test_the_first_of_many_faults_ends_the_reading(shape: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        shape.model_validate(body)
    assert refused.value.error_count() <= FEW


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "input[0]: Input should be a valid string."),
        (["a", None], "input[1]: Input should be a valid string."),
        ([""], "input[0]: String should have at least 1 character."),
        (["a", " "], "input[1]: the text is blank, expected at least one word."),
        ([], "input: List should have at least 1 item after validation, not 0."),
        ([{"type": "image_url", "image_url": "x"}], "input[0].image_url: Input should be a valid dictionary"),
        ([{"type": "text", "text": "a"}, "b"], "input[1]: Input should be a valid dictionary"),
    ],
)
def test_an_error_names_the_place_in_the_shape_that_was_meant(
    demo: TestClient, given: list[Any], message: str
) -> None:
    answer = demo.post("/v1/moderations", json={"input": given})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["message"].startswith(message)
    assert error["message"].startswith(error["param"] + ":")
