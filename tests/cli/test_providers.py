"""What is told of plugins by their names agrees with what LiveKit says of them."""

import subprocess
import sys
from typing import Any

from cli.providers import PluginsByName, installed_plugins
from runtime.workflow.validation import validate

AGENT = {"id": "a", "name": "Desk", "instructions": "Help."}


def codes(llm: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = validate({"agents": [{**AGENT, "llm": llm}]}, providers=PluginsByName())
    return [(fault.path, fault.code, fault.severity) for fault in found.faults]


def test_installed_plugins_have_versions() -> None:
    assert {"openai", "silero"} <= set(installed_plugins())


def test_a_plugin_that_is_not_installed_is_a_warning_and_an_unknown_one_an_error() -> None:
    assert codes({"provider": "openai", "model": "gpt-4o-mini"}) == []
    assert codes({"provider": "anthropic"}) == [("$.agents[0].llm.provider", "provider_missing", "warning")]
    assert codes({"provider": "opnai"}) == [("$.agents[0].llm.provider", "unknown_provider", "error")]
    assert codes({"provider": "silero"}) == [("$.agents[0].llm.provider", "unknown_provider", "error")]


def test_options_are_those_of_the_plugin() -> None:
    assert codes({"provider": "openai", "options": {"temperature": 0.2}}) == []
    options = {"provider": "openai", "options": {"temprature": 0.2}}
    assert codes(options) == [("$.agents[0].llm.options.temprature", "unknown_option", "error")]


def test_livekit_is_not_imported_without_options() -> None:
    code = (
        "import sys\nfrom cli.providers import PluginsByName\nfrom runtime.workflow.validation import validate\n"
        f"agent = {{**{AGENT}, 'llm': {{'provider': 'openai'}}}}\n"
        "assert validate({'agents': [agent]}, providers=PluginsByName()).valid\nprint('livekit' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "False\n"
