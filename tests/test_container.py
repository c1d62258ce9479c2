"""The Dockerfile and the compose file, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.main import VERBS
from runtime.settings import Settings

ROOT = Path(__file__).parent.parent


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name, rest.strip()) for name, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def copied() -> list[str]:
    arguments = (shlex.split(rest) for name, rest in instructions() if name == "COPY")
    return [source for each in arguments if not each[0].startswith("--from") for source in each[:-1]]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_sent(source: str) -> None:
    assert (ROOT / source).exists()
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    assert any(source == entry or (entry.endswith("/") and source.startswith(entry)) for entry in allowed)


def test_everything_a_wheel_holds_is_copied() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = re.findall(r'"(\w+)"', re.search(r"(?m)^packages = (.*)$", text.partition("targets.wheel]")[2])[1])  # type: ignore[index]
    assert {f"{name}/" for name in (*packages, "supabase", "examples")} <= set(copied())


def test_packages_come_with_their_hashes() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and " install " in rest and "-r " in rest]
    assert installs
    assert all("--require-hashes" in each for each in installs)


def test_the_last_stage_has_no_compiler_and_no_root() -> None:
    last = stages()[-1]
    assert not [rest for name, rest in last if name == "RUN" and re.search(r"\b(apt-get|gcc|cc|pip|uv)\b", rest)]
    users = [rest for name, rest in last if name == "USER"]
    assert users
    assert users[-1] not in {"root", "0"}
    assert dict(last)["ENTRYPOINT"] == '["patchbay"]'


def test_commands_and_settings_exist() -> None:
    services = compose()["services"]
    assert services["migrate"]["command"][0] in VERBS
    assert services["worker"]["command"][0] in VERBS
    last = dict(stages()[-1])
    assert f":{Settings().http_port}/healthz" in last["HEALTHCHECK"]
    assert json.loads(last["CMD"])[0] in VERBS
    given = set(services["patchbay"]["environment"]) - {"OPENAI_API_KEY"}
    assert given <= set(Settings.names())


def test_a_command_waits_for_the_migration_and_that_for_postgres() -> None:
    services = compose()["services"]
    assert services["postgres"]["image"] == "postgres:17"
    assert services["postgres"]["healthcheck"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["patchbay"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert "@postgres:5432/patchbay" in services["migrate"]["environment"]["DATABASE_URL"]


def test_the_whole_set_runs_with_one_secret_that_has_to_be_given() -> None:
    services = compose()["services"]
    assert {"postgres", "redis", "livekit", "sip", "worker"} <= set(services)
    needs = "LIVEKIT_API_SECRET:?"
    assert needs in services["livekit"]["environment"]["LIVEKIT_CONFIG"]
    assert needs in services["sip"]["environment"]["SIP_CONFIG_BODY"]
    assert needs in services["worker"]["environment"]["LIVEKIT_API_SECRET"]
    config = yaml.safe_load(services["livekit"]["environment"]["LIVEKIT_CONFIG"])
    assert {"port", "rtc", "redis", "keys"} == set(config)
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_a_worker_gets_as_long_as_its_calls_may_take() -> None:
    worker = compose()["services"]["worker"]
    drain = int(re.search(r":-(\d+)", worker["environment"]["PATCHBAY_DRAIN_S"])[1])  # type: ignore[index]
    assert int(re.search(r":-(\d+)s", worker["stop_grace_period"])[1]) > drain  # type: ignore[index]


def test_every_volume_that_is_mounted_by_name_is_declared() -> None:
    loaded = compose()
    mounted = {volume.split(":")[0] for service in loaded["services"].values() for volume in service.get("volumes", ())}
    assert {name for name in mounted if not name.startswith(".")} == set(loaded["volumes"])


def test_the_api_is_served_beside_the_worker_and_asked_how_it_is() -> None:
    api = compose()["services"]["api"]
    assert api["command"][0] in VERBS
    assert "http://127.0.0.1:8080/healthz" in " ".join(api["healthcheck"]["test"])
    assert [port.rpartition(":")[2] for port in api["ports"]] == ["8080"]
    assert "8080" in dict(stages()[-1])["EXPOSE"]


def test_the_manifests_are_listed_and_the_api_is_probed() -> None:
    folder = ROOT / "deploy" / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert {*listed, "kustomization.yaml"} == {path.name for path in folder.glob("*.yaml")}
    deployment, service = yaml.safe_load_all((folder / "api.yaml").read_text(encoding="utf-8"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] in VERBS
    assert str(container["ports"][0]["containerPort"]) in container["args"]
    probed = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probed == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
