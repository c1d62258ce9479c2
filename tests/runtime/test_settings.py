"""What is in force, where it came from, and the complete list of what is wrong."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageFault
from runtime.settings import AllowedHosts, McpServer, Settings, child_environment, masked_url

LIVEKIT = {
    "LIVEKIT_URL": "wss://acme.livekit.cloud",
    "LIVEKIT_API_KEY": "APIkey",
    "LIVEKIT_API_SECRET": "s3cret-livekit",
}


def refused(env: dict[str, str], cwd: Path) -> list[str]:
    with pytest.raises(UsageFault) as caught:
        Settings.load(env, cwd)
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    settings = Settings.load({}, tmp_path)
    assert (settings.database_url, settings.org, settings.agent_name) == (None, "local", "patchbay")
    assert (settings.max_calls, settings.drain_s, settings.http_port) == (None, 3600.0, 8081)
    assert (settings.http_host, settings.otlp_endpoint) == ("127.0.0.1", None)
    assert (settings.log, settings.log_format, settings.mcp_servers) == ("info", None, {})
    assert settings.home.name == "patchbay"
    assert set(settings.sources.values()) == {"default"}


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PATCHBAY_ORG=file\nPATCHBAY_LOG=debug\n")
    settings = Settings.load({"PATCHBAY_ORG": "shell"}, tmp_path)
    assert (settings.org, settings.log) == ("shell", "debug")
    assert settings.sources["PATCHBAY_ORG"] == "environment"
    assert settings.sources["PATCHBAY_LOG"] == ".env"
    assert settings.sources["PATCHBAY_HOME"] == "default"


def test_blank_values_are_not_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PATCHBAY_ORG=file\n")
    settings = Settings.load({"PATCHBAY_ORG": " ", "DATABASE_URL": "", "LIVEKIT_URL": ""}, tmp_path)
    assert (settings.org, settings.database_url, settings.livekit_url) == ("file", None, None)


def test_dotenv_of_an_editor_on_windows(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(
        b"\xef\xbb\xbfexport PATCHBAY_ORG='acme'\r\n# comment\r\nPATCHBAY_HTTP_PORT=9000\r\n"
    )
    settings = Settings.load({}, tmp_path)
    assert (settings.org, settings.http_port) == ("acme", 9000)


def test_dotenv_refers_to_the_environment_and_to_lines_above(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOST=db\nDATABASE_URL=postgresql://u:${PW}@${HOST}/x\n")
    assert Settings.load({"PW": "p"}, tmp_path).database_url == "postgresql://u:p@db/x"


def test_a_folder_called_dotenv_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert Settings.load({}, tmp_path).org == "local"


def test_every_fault_is_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PATCHBAY_HTTP_PORT=http\n= broken\nPATCHBAY_SECRET_KEY=hidden-key\n")
    faults = refused(
        {
            "SUPABASE_URL": "ftp://x",
            "LIVEKIT_API_SECRET": "very-secret",
            "PATCHBAY_LOG": "loud",
            "PATCHBAY_ALLOW_PRIVATE_HOSTS": "localhost",
            "PATCHBAY_MCP_SERVERS": "[]",
            "PATCHBAY_DRAIN_S": "nan",
        },
        tmp_path,
    )
    named = " ".join(faults)
    assert len(faults) == 9
    for name in ("line 2", "SUPABASE_SERVICE_ROLE_KEY", "LIVEKIT_URL and LIVEKIT_API_KEY", "PATCHBAY_HTTP_PORT (.env)"):
        assert name in named
    assert "very-secret" not in named
    assert "hidden-key" not in named


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "fe80::1%eth0"])  # noqa: S104 - only read
def test_health_is_served_where_the_operator_says(tmp_path: Path, host: str) -> None:
    assert Settings.load({"PATCHBAY_HTTP_HOST": host}, tmp_path).http_host == host


def test_a_child_gets_this_environment_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_ORG", "acme")
    assert child_environment({"A": "b"}) == {**os.environ, "A": "b"}


@pytest.mark.parametrize("missing", LIVEKIT)
def test_half_of_livekit_is_a_fault_that_names_the_other_half(tmp_path: Path, missing: str) -> None:
    (fault,) = refused({name: value for name, value in LIVEKIT.items() if name != missing}, tmp_path)
    assert fault.startswith(f"{missing}: missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "postgresql:/x"),
        ("PATCHBAY_HTTP_PORT", "0"),
        ("PATCHBAY_HTTP_PORT", "65536"),
        ("PATCHBAY_HTTP_HOST", "127.0.0.1:8081"),
        ("PATCHBAY_HTTP_HOST", "http://0.0.0.0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("PATCHBAY_MAX_CALLS", "0"),
        ("PATCHBAY_MAX_CALLS", "1.5"),
        ("PATCHBAY_DRAIN_S", "-1"),
        ("PATCHBAY_DRAIN_S", "inf"),
        ("PATCHBAY_LOG_FORMAT", "xml"),
        ("PATCHBAY_ORG", "x" * 201),
        ("PATCHBAY_ALLOW_PRIVATE_HOSTS", "a:0"),
        ("PATCHBAY_ALLOW_PRIVATE_HOSTS", "http://a:80"),
        ("PATCHBAY_MCP_SERVERS", '{"x": {"cmd": "y"}}'),
    ],
)
def test_a_wrong_value_names_its_variable_and_its_source(tmp_path: Path, name: str, value: str) -> None:
    (fault,) = refused({name: value}, tmp_path)
    assert fault.startswith(f"{name} (environment): ")


def test_an_unreadable_dotenv_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    (fault,) = refused({}, tmp_path)
    assert fault.endswith("it is not UTF-8 text")


def test_secrets_are_in_no_repr_and_no_list(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DEEPGRAM_API_KEY=dg-secret\nPATCHBAY_SECRET_KEY=own-secret\n")
    env = {**LIVEKIT, "OPENAI_API_KEY": "sk-secret", "DATABASE_URL": "postgres://u:db-secret@h/x"}
    settings = Settings.load(env, tmp_path)
    for text in (repr(settings), str(settings), str(settings.shown())):
        assert "secret" not in text.replace("secret_key", "").replace("livekit_api_secret", "").replace(
            "supabase_jwt_secret", ""
        )
        assert "•••" in text
    assert settings.shown()["OPENAI_API_KEY"] == "•••"
    assert settings.shown()["DATABASE_URL"] == "postgres://u:•••@h/x"
    assert settings.sources["DEEPGRAM_API_KEY"] == ".env"


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load({}, tmp_path).org = "other"  # type: ignore[misc]


def test_provider_keys_come_from_both(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=file\nCARTESIA_API_KEY=file\n")
    settings = Settings.load({"OPENAI_API_KEY": "shell"}, tmp_path)
    names = ("OPENAI_API_KEY", "CARTESIA_API_KEY", "GROQ_API_KEY")
    assert [settings.provider_key(name) for name in names] == ["shell", "file", None]


def test_only_what_is_no_business_of_the_loader_or_ours_is_exported(tmp_path: Path) -> None:
    lines = ("OPENAI_API_KEY=file", "GROQ_API_KEY=file", "LD_PRELOAD=x.so", "PYTHONPATH=x", "PATCHBAY_ORG=acme")
    (tmp_path / ".env").write_text("\n".join(lines))
    environ = {"OPENAI_API_KEY": "shell"}
    assert Settings.load(environ, tmp_path).export_provider_environment(environ) == ("GROQ_API_KEY",)
    assert environ == {"OPENAI_API_KEY": "shell", "GROQ_API_KEY": "file"}


def test_home_is_made_on_demand_and_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings.load({"PATCHBAY_HOME": "a/b"}, tmp_path)
    assert settings.home == tmp_path / "a/b"
    assert not settings.home.exists()
    assert settings.make_home() == settings.home
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert settings.make_home() == settings.home


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in ("file", "file/below"):
        with pytest.raises(UsageFault, match="PATCHBAY_HOME"):
            Settings.load({"PATCHBAY_HOME": home}, tmp_path).make_home()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UsageFault, match="not writable"):
        Settings.load({"PATCHBAY_HOME": "locked"}, tmp_path).make_home()


def test_mcp_servers_are_read_as_other_clients_write_them(tmp_path: Path) -> None:
    text = '{"files": {"command": "npx", "args": ["-y", "server"], "env": {"TOKEN": "t"}}}'
    settings = Settings.load({"PATCHBAY_MCP_SERVERS": text}, tmp_path)
    assert settings.mcp_servers == {"files": McpServer(command="npx", args=("-y", "server"), env={"TOKEN": "t"})}
    assert settings.shown()["PATCHBAY_MCP_SERVERS"] == "files"


@pytest.mark.parametrize(
    ("text", "host", "port", "allowed"),
    [
        ("", "localhost", 80, False),
        ("*", "10.0.0.1", 1, True),
        ("localhost:11434", "LOCALHOST", 11434, True),
        ("localhost:11434", "localhost", 80, False),
        ("a:1, [::1]:8080 ,", "::1", 8080, True),
        ("a:1, [::1]:8080 ,", "[::1]", 8080, True),
        ("127.0.0.1:5", "127.0.0.2", 5, False),
    ],
)
def test_allowed_hosts(text: str, host: str, port: int, allowed: bool) -> None:
    assert AllowedHosts.parse(text).allows(host, port) is allowed


@given(st.lists(st.tuples(st.sampled_from(["db", "10.0.0.7", "::1", "fe80::2"]), st.integers(1, 65535))))
def test_allowed_hosts_are_written_as_they_are_read(pairs: list[tuple[str, int]]) -> None:
    hosts = AllowedHosts(hosts=frozenset(pairs))
    assert AllowedHosts.parse(str(hosts)) == hosts


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgres://u:p@h/db", "postgres://u:•••@h/db"),
        ("postgres://u:p@ss/wo:rd@h/db", "postgres://u:•••@h/db"),
        ("postgres://u@h/db", "postgres://u@h/db"),
        ("postgres://h:5432/db", "postgres://h:5432/db"),
        ("postgres:///db?host=/tmp&user=u&password=p&x=1", "postgres:///db?host=/tmp&user=u&password=•••&x=1"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, masked: str) -> None:
    assert masked_url(url) == masked
