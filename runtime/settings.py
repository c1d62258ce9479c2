"""One frozen `Settings`: the environment first, then `.env` in the working folder, then defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from dotenv.parser import parse_stream
from dotenv.variables import parse_variables
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
)

from runtime.errors import UsageFault
from runtime.mcp_setting import McpServer, read_mcp_servers

__all__ = [
    "MASK",
    "AllowedHosts",
    "Given",
    "McpServer",
    "Settings",
    "Source",
    "child_environment",
    "masked_url",
    "provider_servers",
]

Source = Literal["environment", ".env", "default"]

MASK = "•••"
# Set together or not at all.
_GROUPS = (
    ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"),
    ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"),
)
# What LiveKit's plugins read by themselves; shown by `patchbay settings` when set. Any other name in `.env` is shown too.
_PROVIDER_VARIABLES = re.compile(r"[A-Z][A-Z0-9_]*_API_(?:KEY|SECRET)|OPENAI_BASE_URL|AZURE_(?:OPENAI|SPEECH)_[A-Z_]+")
_PROVIDER_SERVERS = re.compile(r"OPENAI_BASE_URL|AZURE_(?:OPENAI|SPEECH)_(?:ENDPOINT|HOST|REGION)")
# Never taken from `.env`: they steer how this process and its children are loaded, and the folder may be a stranger's.
_NEVER_EXPORTED = re.compile(
    r"(?:LD|DYLD|PATCHBAY)_.*|PYTHON.*|PATH|DATABASE_URL|SUPABASE_(?:SERVICE_ROLE_KEY|JWT_SECRET)"
)
_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):.*@|(?<=[?&])((?:ssl)?password)=[^&]*", re.DOTALL)


def provider_servers() -> str:
    """Return the servers that the environment puts in the place of the providers' own, as one text."""
    return " ".join(f"{name}={os.environ[name]}" for name in sorted(os.environ) if _PROVIDER_SERVERS.fullmatch(name))


def masked_url(url: str) -> str:
    """Return `url` with its password, if it has one, as `•••`."""
    return _PASSWORD.sub(lambda hit: f"{hit[2]}={MASK}" if hit[2] else f"{hit[1]}:{MASK}@", url)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The private and loopback addresses that a stored config may reach; `everything` is the operator's `*`."""

    everything: bool = False
    hosts: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port,[::1]:8080,…` or `*`; raises ValueError naming the entry that is neither."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        if "*" in entries:
            return cls(everything=True)
        return cls(hosts=frozenset(_host_and_port(entry) for entry in entries))

    def allows(self, host: str, port: int) -> bool:
        """Tell whether `host` (a name, or an address without brackets) may be reached at `port`."""
        return self.everything or (host.casefold().strip("[]"), port) in self.hosts

    def __str__(self) -> str:
        named = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sorted(self.hosts))
        return "*" if self.everything else ",".join(named)


def _host_and_port(entry: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]*]+):([0-9]{1,5})", entry)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError(f"{entry!r} is not host:port; write for example 127.0.0.1:11434, or * for every host")
    return found[1].casefold().strip("[]"), int(found[2])


@dataclass(frozen=True, slots=True, repr=False)
class Given:
    """What was found before it was understood; blank values count as not given."""

    environment: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)

    def get(self, name: str) -> str | None:
        return self.environment.get(name) or self.dotenv.get(name)

    def source(self, name: str) -> Source:
        if name in self.environment:
            return "environment"
        return ".env" if name in self.dotenv else "default"


def _url(*schemes: str) -> BeforeValidator:
    def check(text: str) -> str:
        if not re.match(rf"(?:{'|'.join(schemes)})://\S", text):
            raise ValueError(f"it must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text

    return BeforeValidator(check)


def _hosts(value: AllowedHosts | str) -> AllowedHosts:
    return value if isinstance(value, AllowedHosts) else AllowedHosts.parse(value)


def _embedding(text: str) -> str:
    if not re.fullmatch(r"local|openai:\S{1,200}", text):
        raise ValueError("it must be local, or provider:model, such as openai:text-embedding-3-small")
    return text


def _mcp_servers(value: object, info: ValidationInfo) -> object:
    return read_mcp_servers(value, (info.context or {}).get("folder", Path())) if isinstance(value, str) else value


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = tuple(origin.strip().rstrip("/") for origin in value.split(",") if origin.strip())
    for origin in found:
        if not re.fullmatch(r"https?://[^\s/*?#@]+", origin):
            raise ValueError(f"{origin!r} is no origin; write for example https://app.example.com")
    return found


def _address(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]+|(?=.*:.*:)[0-9A-Fa-f:.]+(?:%\w+)?", text):
        raise ValueError("it must be an address or a name to listen on, without a port, such as 127.0.0.1 or 0.0.0.0")
    return text


_Lower = BeforeValidator(str.lower)


def _default_home() -> Path:
    return platformdirs.user_data_path("patchbay", appauthor=False)


class Settings(BaseModel):
    """Everything an operator can set; the variables' names are the fields' aliases."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    home: Path = Field(alias="PATCHBAY_HOME", default_factory=_default_home)
    database_url: Annotated[str, _url("postgresql", "postgres")] | None = Field(alias="DATABASE_URL", default=None)
    supabase_url: Annotated[str, _url("https", "http")] | None = Field(alias="SUPABASE_URL", default=None)
    supabase_service_role_key: SecretStr | None = Field(alias="SUPABASE_SERVICE_ROLE_KEY", default=None)
    supabase_jwt_secret: SecretStr | None = Field(alias="SUPABASE_JWT_SECRET", default=None)
    livekit_url: Annotated[str, _url("wss", "ws", "https", "http")] | None = Field(alias="LIVEKIT_URL", default=None)
    livekit_api_key: SecretStr | None = Field(alias="LIVEKIT_API_KEY", default=None)
    livekit_api_secret: SecretStr | None = Field(alias="LIVEKIT_API_SECRET", default=None)
    secret_key: SecretStr | None = Field(alias="PATCHBAY_SECRET_KEY", default=None)
    allow_private_hosts: Annotated[AllowedHosts, PlainValidator(_hosts)] = Field(
        alias="PATCHBAY_ALLOW_PRIVATE_HOSTS", default=AllowedHosts()
    )
    org: str = Field(alias="PATCHBAY_ORG", default="local", max_length=200)
    embedding: Annotated[str, BeforeValidator(_embedding)] | None = Field(alias="PATCHBAY_EMBEDDING", default=None)
    embedding_base_url: Annotated[str, _url("https", "http")] | None = Field(
        alias="PATCHBAY_EMBEDDING_BASE_URL", default=None
    )
    agent_name: str = Field(alias="PATCHBAY_AGENT_NAME", default="patchbay", max_length=200)
    mcp_servers: Annotated[dict[str, McpServer], BeforeValidator(_mcp_servers)] = Field(
        alias="PATCHBAY_MCP_SERVERS", default={}
    )
    max_calls: int | None = Field(alias="PATCHBAY_MAX_CALLS", default=None, ge=1)
    region: str | None = Field(alias="PATCHBAY_REGION", default=None, max_length=200)
    drain_s: float = Field(alias="PATCHBAY_DRAIN_S", default=3600.0, ge=0, allow_inf_nan=False)
    log_max_mb: int = Field(alias="PATCHBAY_LOG_MAX_MB", default=4096, ge=64, le=1_048_576)
    speech_cache_mb: int = Field(alias="PATCHBAY_SPEECH_CACHE_MB", default=256, ge=0, le=1_048_576)
    http_host: Annotated[str, BeforeValidator(_address)] = Field(alias="PATCHBAY_HTTP_HOST", default="127.0.0.1")
    http_port: int = Field(alias="PATCHBAY_HTTP_PORT", default=8081, ge=1, le=65535)
    api_origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] = Field(alias="PATCHBAY_API_ORIGINS", default=())
    api_rate: int = Field(alias="PATCHBAY_API_RATE", default=600, ge=1, le=1_000_000)
    api_key: SecretStr | None = Field(alias="PATCHBAY_API_KEY", default=None)
    otlp_endpoint: Annotated[str, _url("https", "http")] | None = Field(
        alias="OTEL_EXPORTER_OTLP_ENDPOINT", default=None
    )
    log: Annotated[Literal["debug", "info", "warning", "error"], _Lower] = Field(alias="PATCHBAY_LOG", default="info")
    log_format: Annotated[Literal["console", "json"], _Lower] | None = Field(alias="PATCHBAY_LOG_FORMAT", default=None)
    given: Given = Field(default_factory=Given, repr=False)

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Read what is in force; raises UsageFault with the complete list of what is missing or wrong."""
        folder = cwd or _working_folder()
        dotenv, faults = _read_dotenv(folder / ".env", os.environ if env is None else env)
        given = Given(_filled(os.environ if env is None else env), _filled(dotenv), folder)
        values: dict[str, Any] = {name: value for name in cls.names() if (value := given.get(name)) is not None}
        if home := values.get("PATCHBAY_HOME"):
            values["PATCHBAY_HOME"] = folder / os.path.expanduser(home)  # noqa: PTH111 - Path's raises where no home is known
        faults += _half_set(values)
        try:
            settings = cls.model_validate({**values, "given": given}, context={"folder": folder})
        except ValidationError as error:
            raise _fault([*faults, *_explained(error, given)], folder) from None
        if faults:
            raise _fault(faults, folder)
        return settings

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return every variable's name, in the order of the documentation."""
        return tuple(info.alias for info in cls.model_fields.values() if info.alias)

    @property
    def events_folder(self) -> Path:
        """Return where a process of this home writes its event log."""
        return self.home / "events"

    @property
    def events_bytes(self) -> int:
        """Return how many bytes of the disk all files in `events_folder` may take."""
        return self.log_max_mb * 1024 * 1024

    @property
    def speech_folder(self) -> Path:
        """Return where the processes of this home keep what agents say word for word."""
        return self.home / "speech"

    @property
    def speech_bytes(self) -> int:
        """Return how many bytes of the disk the recordings in `speech_folder` may take; 0 keeps none."""
        return self.speech_cache_mb * 1024 * 1024

    @property
    def sources(self) -> Mapping[str, Source]:
        """Return, by variable name, where the value in force came from."""
        return {name: self.given.source(name) for name in (*self.names(), *self._providers())}

    def shown(self) -> Mapping[str, str | None]:
        """Return, by variable name, the value in force as it may be seen: secrets as `•••`, unset ones as None."""
        own = {info.alias: _shown(getattr(self, name)) for name, info in type(self).model_fields.items() if info.alias}
        return own | dict.fromkeys(self._providers(), MASK)

    def provider_key(self, name: str) -> str | None:
        """Return a provider's own variable (`OPENAI_API_KEY`, …) from the environment or `.env`."""
        return self.given.get(name)

    def export_provider_environment(self, environ: MutableMapping[str, str] | None = None) -> tuple[str, ...]:
        """Put `.env`'s values that are not Patchbay's own into the process environment, and return their names.

        LiveKit and its plugins read the environment by themselves. What is set there already stays.
        """
        target = os.environ if environ is None else environ
        names = [name for name in self.given.dotenv if not _NEVER_EXPORTED.fullmatch(name) and not target.get(name)]
        target.update({name: self.given.dotenv[name] for name in names})
        return tuple(names)

    def make_home(self) -> Path:
        """Return PATCHBAY_HOME, made with mode 0700 where it is missing; raises UsageFault where it cannot be used."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise _unusable_home(self.home, getattr(error, "strerror", None) or str(error)) from None
        if not os.access(self.home, os.W_OK | os.X_OK):
            raise _unusable_home(self.home, "it is not writable")
        return self.home

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ((name, _shown(getattr(self, name))) for name in type(self).model_fields if name != "given")

    def _providers(self) -> tuple[str, ...]:
        found = {name for name in self.given.environment if _PROVIDER_VARIABLES.fullmatch(name)}
        found |= {name for name in self.given.dotenv if not name.startswith("PATCHBAY_")}
        return tuple(sorted(found.difference(self.names())))


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process that this one starts: its own, and `more`."""
    return {**os.environ, **more}


def _shown(value: object) -> str | None:
    if value is None or value in ({}, ()):
        return None
    if isinstance(value, SecretStr):
        return MASK
    return ",".join(value) if isinstance(value, dict | tuple) else masked_url(str(value)) or None


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise UsageFault("The working folder does not exist any more.", remedy="Change to another folder.") from None


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in values.items() if value.strip()}


def _read_dotenv(path: Path, env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the file's values and what is wrong with it; `${NAME}` is filled from the environment and from above."""
    if not path.is_file():  # a folder called .env is somebody's virtual environment
        return {}, []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return {}, [f"{path} cannot be read: {why}"]
    values: dict[str, str] = {}
    faults: list[str] = []
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            faults.append(f"{path}, line {binding.original.line}: this is not NAME=value")
        elif binding.key and binding.value is not None:
            atoms = parse_variables(binding.value)
            values[binding.key] = "".join(atom.resolve({**values, **env}) for atom in atoms)
    return values, faults


def _half_set(values: Mapping[str, object]) -> list[str]:
    faults = []
    for group in _GROUPS:
        missing = [name for name in group if name not in values]
        if missing and len(missing) < len(group):
            there = " and ".join(name for name in group if name in values)
            faults.append(f"{' and '.join(missing)}: missing, while {there} is set; set all of them or none")
    return faults


def _explained(error: ValidationError, given: Given) -> list[str]:
    """Put pydantic's findings into one line a variable, never with the value of a secret."""
    lines: dict[str, str] = {}
    for found in error.errors(include_url=False, include_input=False):
        name = str(found["loc"][0])
        reason = str(found.get("ctx", {}).get("error") or found["msg"])
        lines.setdefault(name, f"{name} ({given.source(name)}): {reason[0].lower()}{reason[1:]}")
    return list(lines.values())


def _fault(faults: list[str], folder: Path) -> UsageFault:
    listed = "\n".join(f"  {line}" for line in faults)
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return UsageFault(
        f"The settings have {count}:\n{listed}",
        remedy=f"Correct it in the environment or in {folder / '.env'}; `patchbay settings --help` names every variable.",
    )


def _unusable_home(home: Path, why: str) -> UsageFault:
    return UsageFault(
        f"PATCHBAY_HOME, {home}, cannot be used: {why}.", remedy="Set PATCHBAY_HOME to a folder you may write to."
    )
