import httpx
import pytest

from runtime.examples import examples
from tests.api.conftest import Tenant

pytestmark = pytest.mark.server


async def test_templates_are_the_examples(http: httpx.AsyncClient, acme: Tenant) -> None:
    listed = (await http.get("/api/templates", headers=acme.keys["viewer"])).json()["items"]
    assert [each["name"] for each in listed] == sorted(file.parent.name for file in examples().glob("*/workflow.yaml"))
    (desk,) = [each for each in listed if each["name"] == "front_desk"]
    assert desk["title"] == "Front desk"
    assert desk["description"].startswith("A front desk finds out")
    assert {"workflow.yaml", "billing.txt", "README.md"} <= set(desk["files"])
    whole = (await http.get("/api/templates/front_desk", headers=acme.keys["viewer"])).json()
    assert {key: whole[key] for key in desk} == desk
    assert "billing.txt" in whole["scripts"]
    assert (await http.get("/api/templates")).status_code == 401


async def test_every_template_is_valid(http: httpx.AsyncClient, acme: Tenant) -> None:
    for each in (await http.get("/api/templates", headers=acme.keys["viewer"])).json()["items"]:
        whole = (await http.get(f"/api/templates/{each['name']}", headers=acme.keys["viewer"])).json()
        answer = await http.post("/api/validate", headers=acme.keys["viewer"], json={"config": whole["config"]})
        assert answer.json()["valid"], (each["name"], answer.json()["faults"])


@pytest.mark.parametrize("name", ["nothing", "check_order", "..", "%2e%2e%2fdocs"])
async def test_what_is_no_template_is_not_there(http: httpx.AsyncClient, acme: Tenant, name: str) -> None:
    assert (await http.get(f"/api/templates/{name}", headers=acme.keys["viewer"])).status_code in {404, 307}
