"""The description of the API, held to what it answers: schemathesis asks everything in every way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.models import knowledge, organizations, workflows, workspace
from api.testing import bodies as chat_bodies
from api.testing import voice_bodies
from runtime.workflow.validation import validate
from tests.fakes.api_server import ApiServer, api_server

pytestmark = pytest.mark.server

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
CONFIG = {"agents": [{"id": "a", "name": "Desk", "instructions": "Help."}]}
EXAMPLES = 15
BODIES = (workflows, organizations, workspace, knowledge, chat_bodies, voice_bodies)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("api"), "--offline") as running:
        yield running


@pytest.fixture(scope="module")
def owner(server: ApiServer) -> dict[str, str]:
    return server.key(server.organization("Acme"))


@pytest.fixture(scope="module")
def known(server: ApiServer, owner: dict[str, str]) -> dict[str, list[str]]:
    """Values of path parameters that lead somewhere, by their names."""
    with httpx.Client(base_url=server.url, headers=owner, timeout=30) as http:
        workflow = http.post("/api/workflows", json={"name": "support"}).json()
        version = http.post(f"/api/workflows/{workflow['id']}/versions", json={"config": CONFIG}).json()
        told = http.post(f"/api/workflow-versions/{version['id']}/test/chat", json={"messages": ["hello"]}).json()
        http.put("/api/variables/greeting", json={"value": "hi", "is_secret": False})
        http.put("/api/phone-numbers/+4930123456", json={"workflow_id": workflow["id"]})
    return {
        "workflow_id": [workflow["id"]],
        "version_id": [version["id"]],
        "session_id": [told["session_id"]],
        "test_session_id": [told["test_session_id"]],
        "name": ["greeting", "front_desk"],
        "number": ["+4930123456"],
    }


def operations(server: ApiServer) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return [each.ok() for each in schema.get_all_operations()]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as described", "against it"])
def test_no_answer_is_undocumented(
    server: ApiServer, owner: dict[str, str], known: dict[str, list[str]], mode: GenerationMode
) -> None:
    failures: list[str] = []
    found = operations(server)
    assert len(found) > 40
    for operation in found:
        if mode is GenerationMode.NEGATIVE and not _has_input(operation):
            continue
        try:
            _ask(operation, owner, known, mode)
        except (Failure, BaseExceptionGroup, AssertionError) as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)


def _has_input(operation: Any) -> bool:
    """Whether there is anything about the request that could be wrong."""
    return bool(operation.body or operation.query or operation.path_parameters or operation.headers)


def _ask(operation: Any, owner: dict[str, str], known: dict[str, list[str]], mode: GenerationMode) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode), at=st.randoms(use_true_random=False))
    def asked(case: Any, at: random.Random) -> None:
        for name, values in known.items():
            if name in (case.path_parameters or {}) and at.random() < 0.7:
                case.path_parameters[name] = at.choice(values)
        answer = case.call(headers=owner, timeout=30)
        case.validate_response(answer, checks=CHECKS)

    asked()


def test_no_route_but_health_answers_without_a_token(server: ApiServer) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        for path, methods in http.get("/openapi.json").json()["paths"].items():
            for method in methods:
                answer = http.request(method.upper(), path.replace("{", "").replace("}", ""))
                expected = {200} if path in {"/healthz", "/readyz"} else {401}
                assert answer.status_code in expected, (method, path, answer.text)


def test_everything_has_words(server: ApiServer) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            place = f"{method.upper()} {path}"
            assert operation.get("description") or operation.get("summary"), place
            assert operation["tags"], place
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description") or parameter["in"] == "path", f"{place} {parameter['name']}"


def test_operations_are_named_for_programs_and_shown_once(server: ApiServer) -> None:
    described = httpx.get(f"{server.url}/openapi.json").json()
    operations = [each for methods in described["paths"].values() for each in methods.values()]
    ids = [each["operationId"] for each in operations]
    assert len(ids) == len(set(ids))
    assert all(each.isidentifier() and "_api_" not in each for each in ids)
    assert {each for operation in operations for each in operation["tags"]} == {
        each["name"] for each in described["tags"]
    }
    assert all(len(each["tags"]) == 1 for each in operations)
    assert all(each["description"] for each in described["tags"])
    assert "Successful Response" not in json.dumps(described)


def test_the_examples_of_bodies_are_accepted(server: ApiServer) -> None:
    schemas = httpx.get(f"{server.url}/openapi.json").json()["components"]["schemas"]
    bodies = {name: each for module in BODIES for name, each in vars(module).items() if name in schemas}
    shown = [(name, example) for name in bodies for example in schemas[name].get("examples", ())]
    assert {"ConfigBody", "NewKey", "NewWorkflow", "VoiceTestRequest", "ChatRequest"} <= {name for name, _ in shown}
    for name, example in shown:
        body = bodies[name].model_validate(example)
        if config := getattr(body, "config", None):
            assert validate(config).faults == ()


@pytest.mark.parametrize(("body", "said"), [(b'{"name": "x",}', "double quotes"), (b"hello", "Expecting value")])
def test_a_body_that_is_no_json_is_told_why(server: ApiServer, owner: dict[str, str], body: bytes, said: str) -> None:
    headers = owner | {"Content-Type": "application/json"}
    told = httpx.post(f"{server.url}/api/workflows", headers=headers, content=body).json()
    assert said in told["detail"]
    assert "application/json" in told["remedy"]


def test_a_body_of_another_kind_is_told_how_to_be_sent(server: ApiServer, owner: dict[str, str]) -> None:
    headers = owner | {"Content-Type": "text/plain"}
    told = httpx.post(f"{server.url}/api/workflows", headers=headers, content=b'{"name": "x"}').json()
    assert "application/json" in told["remedy"]
