"""PATCHBAY_MCP_SERVERS, as JSON and as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import UsageFault
from runtime.settings import McpServer, Settings

Json = Any
FILES = {"command": "npx", "args": ["-y", "server"], "env": {"TOKEN": "token-of-files"}}


def load(value: str, folder: Path) -> Settings:
    return Settings.load({"PATCHBAY_MCP_SERVERS": value}, folder)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("as_file", [True, False])
def test_both_forms_and_both_places(tmp_path: Path, wrapped: bool, as_file: bool) -> None:
    text = json.dumps({"mcpServers": {"files": FILES}} if wrapped else {"files": FILES})
    (tmp_path / "mcp.json").write_text(text)
    settings = load("mcp.json" if as_file else text, tmp_path)
    assert settings.mcp_servers == {
        "files": McpServer(command="npx", args=("-y", "server"), env={"TOKEN": "token-of-files"})
    }
    assert settings.shown()["PATCHBAY_MCP_SERVERS"] == "files"
    assert "token-of-files" not in repr(settings) + repr(settings.mcp_servers)


def test_what_other_clients_write_beside_the_command(tmp_path: Path) -> None:
    servers = load('{"a": {"type": "stdio", "command": "x", "cwd": "/srv"}}', tmp_path).mcp_servers
    assert servers["a"] == McpServer(command="x", cwd=Path("/srv"))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[]", "must be a JSON object such as"),
        ('"x"', "must be a JSON object such as"),
        ('{"a":', "line 1, column 6: this is no JSON"),
        ("missing.json", "missing.json: it cannot be read: No such file or directory"),
        ('{"a": {}}', "the server 'a': command is missing"),
        ('{"a": 1}', "the server 'a': it: input should be"),
        ('{"a": {"cmd": "y", "command": "x"}}', "there is no such key: cmd (keys: type, command, args, env, cwd)"),
        ('{"a": {"url": "https://x"}}', "the server 'a': a server with a url is named in the workflow's tool"),
        ('{"a b": {"command": "x"}}', "the server 'a b': a name has letters"),
        ('{"a": {"command": "x", "env": {"T": ["secret-value"]}}}', "env.T: input should be a valid string"),
        (
            '{"a": {}, "b": {"command": ""}}',
            "the server 'a': command is missing; the server 'b': command: string should",
        ),
    ],
)
def test_faults_name_the_server_and_the_key(tmp_path: Path, value: str, says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        load(value, tmp_path)
    assert "PATCHBAY_MCP_SERVERS (environment): " in str(caught.value)
    assert says in str(caught.value)
    assert "secret-value" not in str(caught.value)
