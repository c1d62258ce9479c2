import asyncio

import pytest
from patchbay import Json, ToolError, ToolResult
from patchbay.testing import FakeService, fake_context, run_tool

from patchbay_check_order import CheckOrder

CONFIG = {"base_url": "https://shop.example/api/", "api_key": "{{ secrets.ORDERS_KEY }}"}


def ask(service: FakeService, number: Json) -> ToolResult:
    context = fake_context(service, secrets={"ORDERS_KEY": "key-1"})
    return asyncio.run(run_tool(CheckOrder, CONFIG, {"order_number": number}, context))


def test_an_order_that_is_on_its_way() -> None:
    service = FakeService({"/api/orders/4271": {"status": "SENT", "expected_on": "2026-05-03"}})
    found = ask(service, "4271")
    assert found.value == {
        "order_number": "4271",
        "status": "on its way",
        "expected_on": "2026-05-03",
    }
    assert found.text == "The order is on its way. Expected on 2026-05-03."
    assert service.requests[0].headers["authorization"] == "Bearer key-1"


def test_a_number_cannot_lead_elsewhere() -> None:
    service = FakeService()
    with pytest.raises(ToolError):
        ask(service, "../admin")
    assert [request.url.raw_path for request in service.requests] in (
        [],
        [b"/api/orders/..%2Fadmin"],
    )


@pytest.mark.parametrize(
    ("number", "answer", "code"),
    [
        ("9999", 404, "unknown_order"),
        ("4271", 503, "http_503"),
        ("4271", {"status": "?"}, "bad_response"),
        ("4271", ["SENT"], "bad_response"),
        (4271, 404, "invalid_arguments"),
    ],
)
def test_what_fails_has_a_code(number: Json, answer: Json, code: str) -> None:
    with pytest.raises(ToolError) as raised:
        ask(FakeService({f"/api/orders/{number}": answer}), number)
    assert raised.value.code == code
