"""The workers' own figures during a load test, as their metrics pages tell them."""

from __future__ import annotations

import pytest

from runtime.errors import Unreachable, UsageFault
from runtime.harness.load.machine import Workers
from tests.fakes.http_answers import answering
from tests.fakes.livekit_server import free_port

PAGE = """\
# HELP patchbay_calls_running Calls in progress.
# TYPE patchbay_calls_running gauge
patchbay_calls_running{draining="false"} 3.0
patchbay_calls_running{draining="true"} 1.0
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total{process="1"} 12.5
process_cpu_seconds_total{process="2"} 7.5
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{process="1"} 2e8
# TYPE patchbay_faults_total counter
patchbay_faults_total{component="tts",code="late"} 2.0
# TYPE patchbay_calls_refused_total counter
patchbay_calls_refused_total{reason="full"} 4.0
"""


async def test_workers_are_added_up() -> None:
    asked: list[str] = []

    def answer(_method: str, path: str, _body: object) -> tuple[int, bytes]:
        asked.append(path)
        return 200, PAGE.encode()

    with answering(answer) as one, answering(answer) as two:
        workers = Workers([one, f"{two}/metrics"])
        sample = await workers.sample(2.0)
        await workers.aclose()
    assert asked == ["/metrics", "/metrics"]
    assert (sample.at_s, sample.calls, sample.cpu_s, sample.memory_mb) == (2.0, 8.0, 40.0, 400.0)
    assert (sample.faults, sample.refused) == ({"tts/late": 4.0}, {"full": 8.0})


async def test_what_a_worker_does_not_tell_is_not_known() -> None:
    with answering(lambda *_: (200, b"# nothing\n")) as url:
        workers = Workers([url])
        sample = await workers.sample(0.0)
        await workers.aclose()
    assert (sample.calls, sample.cpu_s, sample.memory_mb, sample.faults) == (None, None, None, {})


async def test_a_worker_that_does_not_answer_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    workers = Workers([url])
    with pytest.raises(Unreachable, match=url):
        await workers.sample(0.0)
    await workers.aclose()
    with answering(lambda *_: (503, b"")) as busy:
        workers = Workers([busy])
        with pytest.raises(Unreachable, match="503"):
            await workers.sample(0.0)
        await workers.aclose()


@pytest.mark.parametrize("url", ["", "10.0.0.5:8081", "ftp://x", "http://"])
def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(UsageFault, match="--metrics"):
        Workers([url])
