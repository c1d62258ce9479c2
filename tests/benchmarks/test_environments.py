from __future__ import annotations

import re

import pytest

from benchmarks.environments import ROOT

LOCKS = ROOT / "benchmarks" / "peers"


@pytest.mark.parametrize("peer", ["livekit", "pipecat"])
def test_a_peers_lock_pins_what_is_asked_for_with_hashes_and_names_no_registry(peer: str) -> None:
    lock = (LOCKS / f"{peer}.txt").read_text()
    for wanted in (LOCKS / f"{peer}.in").read_text().split():
        assert re.sub(r"\[.*\]", "", wanted) in lock
    assert "://" not in lock
    pins = re.split(r"\n(?=\S)", lock.strip())
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
