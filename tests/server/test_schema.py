"""The OpenAPI document holds: what schemathesis makes of it is answered as it says, and never by a 5xx."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from served_app import LOCAL, served
from starlette.testclient import TestClient

from hyperaware.models.dual_encoder import DualEncoder

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
repeatable = settings(
    max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
"""Enough cases of each route to find what is wrong, few enough for every run."""


@pytest.fixture(scope="module")
def client(
    model: DualEncoder, shared_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    state = tmp_path_factory.mktemp("state")
    with served(model, index=shared_index, state=state, max_inputs=8, max_images=2) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_the_document_says(
    mode: GenerationMode, document: dict[str, Any], client: TestClient, subtests: pytest.Subtests
) -> None:
    """Positive cases fit the document, negative ones do not and must be refused; neither ever gets a 5xx."""
    found = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(found) > 18
    for operation in found:
        if mode is GenerationMode.NEGATIVE and not takes_something(document["paths"], operation):
            continue  # what takes nothing cannot be given anything wrong
        with subtests.test(operation.label):
            check(operation.as_strategy(generation_mode=mode), client)


def takes_something(paths: dict[str, Any], operation: Any) -> bool:
    described = paths[operation.path][operation.method.lower()]
    return bool(described.get("parameters") or described.get("requestBody"))


def check(cases: Any, client: TestClient) -> None:
    @repeatable
    @given(cases)
    def answered(case: Any) -> None:
        ask(client, case)

    answered()


def ask(client: TestClient, case: Any) -> None:
    words = case.as_transport_kwargs(base_url=LOCAL)
    if isinstance(words.get("data"), bytes | str):
        words["content"] = words.pop("data")
    words["headers"] = {name: value.encode("latin-1") for name, value in words["headers"].items()}
    words.pop("cookies", None)
    case.validate_response(client.request(**words), checks=CHECKS)


def test_every_route_is_described_with_an_example(document: dict[str, Any]) -> None:
    routes = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(routes) > 18
    for path, method, operation in routes:
        assert operation["description"], (path, method)
        body = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        examples = examples_of(document, body)
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                examples += [c["example"] for c in response["content"].values() if "example" in c]
        assert examples, (path, method)


def examples_of(document: dict[str, Any], schema: dict[str, Any]) -> list[Any]:
    for each in (schema, *schema.get("anyOf", ())):
        if "$ref" in each:
            each = document["components"]["schemas"][each["$ref"].rsplit("/", 1)[1]]
        if each.get("examples"):
            return list(each["examples"])
    return []


def test_the_document_names_the_key_only_where_one_is_needed(
    model: DualEncoder, ring_file: Path, document: dict[str, Any]
) -> None:
    assert "securitySchemes" not in document["components"]
    with served(model, demo=False, state=ring_file.parent) as client:
        keyed = client.get("/openapi.json").json()
    assert keyed["paths"]["/v1/search"]["post"]["security"] == [{"key": []}]
    assert "security" not in keyed["paths"]["/health/live"]["get"]
    assert "401" in keyed["paths"]["/v1/search"]["post"]["responses"]
