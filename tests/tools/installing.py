"""Plugin packages in a folder of their own on the path, as pip would have put them there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["install", "pretend"]

_UV = Path(sys.executable).with_name("uv")


def install(package: Path, site: Path, work: Path) -> None:
    """Build the package from a copy below `work`, without any network, and install it into the folder `site`."""
    copy = work / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns(".*_cache", "__pycache__"))
    command = [_UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--python", sys.executable, "--target", site, copy],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def pretend(site: Path, name: str, points: dict[str, str], modules: dict[str, str] | None = None) -> None:
    """Write what an installed distribution comes to: its metadata, its entry points and its modules' sources."""
    info = site / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = "".join(f"{point} = {target}\n" for point, target in points.items())
    (info / "entry_points.txt").write_text(f"[patchbay.tools]\n{lines}")
    for module, source in (modules or {}).items():
        (site / f"{module}.py").write_text(source)
