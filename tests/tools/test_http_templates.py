"""What the templates of `http_request` come to, and the faults of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.base import ToolError
from tools.http_request import HttpRequestConfig
from tools.http_templates import headers, json_body, pairs, url
from tools.registry import default_registry

Json = Any
NUMBER = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
BASE = "https://api.acme.example"


def get(address: str, **more: Any) -> dict[str, Json]:
    return {"url": address, **more}


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        (f"{BASE}/o/{{{{ arguments.n }}}}", {"arguments": {"n": "4271"}}, f"{BASE}/o/4271"),
        (f"{BASE}/o/{{{{ arguments.n }}}}", {"arguments": {"n": "a/b?c#d@e"}}, f"{BASE}/o/a%2Fb%3Fc%23d%40e"),
        (f"{BASE}/o/{{{{ arguments.n }}}}", {"arguments": {"n": "%2e%2e"}}, f"{BASE}/o/%252e%252e"),
        (f"{BASE}/o?n={{{{ arguments.n }}}}", {"arguments": {"n": "a&b=ü"}}, f"{BASE}/o?n=a%26b%3D%C3%BC"),
        (f"{BASE}/o?n={{{{ arguments.n }}}}", {}, f"{BASE}/o?n="),
        (
            "{{ workspace.BASE }}/o/{{ id }}",
            {"workspace": {"BASE": "http://x.example/v1"}, "id": 7},
            "http://x.example/v1/o/7",
        ),
        ("https://{{ workspace.HOST }}/o", {"workspace": {"HOST": "x.example:8443"}}, "https://x.example:8443/o"),
    ],
)
def test_urls(template: str, values: Mapping[str, Json], expected: str) -> None:
    assert HttpRequestConfig.model_validate(get(template)).url == template
    assert str(url(template, values)) == expected


@pytest.mark.parametrize(
    ("template", "value"),
    [
        (f"{BASE}/o/{{{{ v }}}}", ".."),
        (f"{BASE}/o/{{{{ v }}}}", "."),
        (f"{BASE}/o/{{{{ v }}}}", ""),
        (f"{BASE}/o/{{{{ v }}}}", "../admin"),
        (f"{BASE}/o/{{{{ v }}}}", "x\\..\\y"),
        ("{{ workspace.BASE }}/o", ""),
        ("https://{{ workspace.HOST }}/o", "user@evil.example"),
    ],
)
def test_values_that_would_lead_elsewhere(template: str, value: str) -> None:
    with pytest.raises(ToolError) as caught:
        url(template, {"v": value, "workspace": {"BASE": value, "HOST": value}})
    assert caught.value.code == "invalid_arguments"


@given(st.text(max_size=30))
def test_no_value_moves_host_or_path(value: str) -> None:
    try:
        made = url(f"{BASE}/orders/{{{{ v }}}}/items?x={{{{ v }}}}", {"v": value})
    except ToolError:
        return
    segments = made.raw_path.partition(b"?")[0].split(b"/")
    assert (made.scheme, made.host, made.port, made.fragment) == ("https", "api.acme.example", None, "")
    assert (len(segments), segments[1], segments[3]) == (4, b"orders", b"items")
    assert len(made.params) <= 1


@pytest.mark.parametrize(
    ("config", "where", "what"),
    [
        ({}, ("url",), "missing"),
        (get("ftp://x.example"), ("url",), "begins with https://"),
        (get("https://{{ arguments.host }}/"), ("url",), "workspace"),
        (get("{{ arguments.url }}"), ("url",), "workspace"),
        (get("https://x.example{{ arguments.path }}"), ("url",), "workspace"),
        (get("https://user:pw@x.example/"), ("url",), "begins with"),
        (get(f"{BASE}/a/../b"), ("url",), "no . or .."),
        (get(f"{BASE}/{{% if a %}}b{{% endif %}}"), ("url",), "no {% … %}"),
        (get(f"{BASE}/{{{{ a | nope }}}}"), ("url",), "no filter"),
        (get(f"{BASE}/{{{{ a"), ("url",), ""),
        (get(""), ("url",), "empty"),
        (get(BASE, headers={"X": "{{ a | nope }}"}), ("headers", "X"), "no filter"),
        (get(BASE, headers={"Host": "x"}), ("headers", "Host"), "set by itself"),
        (get(BASE, headers={"X:": "x"}), ("headers", "X:"), "no header's name"),
        (get(BASE, method="POST", json={"a": ["{{ a | nope }}"]}), ("json",), "no filter"),
        (get(BASE, json={}), (), "GET"),
        (get(BASE, method="POST", json={}, form={}), (), "not both"),
        (get(BASE, result="$..["), ("result",), "JSONPath"),
        (get(BASE, ulr=1), ("ulr",), "url"),
        (get(BASE, method="get"), ("method",), "GET"),
        (get(BASE, parameters={"type": "string"}), ("parameters",), "object"),
        (get(BASE, parameters={"type": "object", "properties": 1}), ("parameters",), "no JSON Schema"),
        (get(BASE, parameters={"type": "object", "$ref": "http://x/"}), ("parameters",), "$ref"),
        (get(BASE, query={"a": []}), ("query", "a"), ""),
    ],
)
def test_faults_of_a_config(config: Mapping[str, Json], where: tuple[str, ...], what: str) -> None:
    faults = default_registry().config_faults("http_request", config)
    assert [loc for loc, _ in faults] == [where]
    assert what in faults[0][1]


def test_header_values_begin_no_other_header() -> None:
    assert headers({"X": "{{ v }}", "Y": "{{ unset }}"}, {"v": "a\r\nEvil: ü"}) == [(b"x", "a Evil: ü".encode())]


def test_pairs_leave_out_what_is_unset() -> None:
    assert pairs({"a": "{{ a }}", "b": "", "c": False, "d": 1.5}, {}) == {"b": "", "c": "false", "d": "1.5"}


def test_bare_names_keep_their_type() -> None:
    values = {"a": {"b": [1, None]}, "n": 1.5}
    assert json_body({"x": "{{ a.b }}", "y": "{{- n -}}", "z": "{{ n | plus: 1 }}", "w": True}, values) == {
        "x": [1, None],
        "y": 1.5,
        "z": "2.5",
        "w": True,
    }
