"""The peers' own environments: made below `.cache/peers` from pinned requirements with hashes, once for each lock."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "PeerMissing", "peer_python", "peer_versions"]

ROOT: Final = Path(__file__).parents[1]
_LOCKS: Final = Path(__file__).parent / "peers"
_NAMED: Final = ("livekit-agents", "livekit-plugins-openai", "pipecat-ai", "openai")
_VERSIONS: Final = "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"


class PeerMissing(Exception):
    """A peer's environment cannot be made here; the text says why."""


@cache
def peer_python(name: str) -> Path:
    """Return the Python of the peer's environment, making it where it is not there. Raises `PeerMissing`."""
    folder, lock = ROOT / ".cache" / "peers" / name, _LOCKS / f"{name}.txt"
    stamp, mark = folder / ".lock", hashlib.sha256(lock.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == mark:
        return python
    print(f"making the environment of {name} (once) …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock))
    stamp.write_text(mark)
    return python


def peer_versions(name: str) -> dict[str, str]:
    """Return the versions of what the peer is made of."""
    told = subprocess.run([peer_python(name), "-c", _VERSIONS], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(told.stdout)
    return {package: found[package] for package in _NAMED if package in found}


def _uv(*words: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv) if uv.exists() else "uv", *words]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        raise PeerMissing("uv is not installed") from None
    except subprocess.SubprocessError as fault:
        told = getattr(fault, "stderr", None) or str(fault)
        raise PeerMissing(f"uv {words[0]} failed: {str(told).strip().splitlines()[-1]}") from fault
