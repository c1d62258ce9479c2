"""What the workers say of themselves on `/metrics` while a load test runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line

from runtime.errors import Unreachable, UsageFault

__all__ = ["WorkerSample", "Workers"]

_PATIENCE_S: Final = 3.0
_CPU: Final = "process_cpu_seconds_total"
_MEMORY: Final = "process_resident_memory_bytes"
_CALLS: Final = "patchbay_calls_running"
_FAULTS: Final = "patchbay_faults_total"
_REFUSED: Final = "patchbay_calls_refused_total"


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """All workers asked, added up, `at_s` seconds since the test began; what a worker does not tell is None.

    `faults` (by `component/code`) and `refused` (by reason) count since the workers' start.
    """

    at_s: float
    calls: float | None
    cpu_s: float | None
    memory_mb: float | None
    faults: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, float] = field(default_factory=dict)


class Workers:
    """Asks the workers' metrics pages. Raises UsageFault for a URL that is none."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(_page(url) for url in urls)
        self._http = httpx.AsyncClient(timeout=_PATIENCE_S, trust_env=False)

    async def sample(self, at_s: float) -> WorkerSample:
        """Ask all of them; raises Unreachable naming the one that does not answer."""
        texts = await asyncio.gather(*(self._text(url) for url in self._urls))
        return _added_up(at_s, texts)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _text(self, url: str) -> str:
        try:
            answer = await self._http.get(url)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{url} does not tell a worker's figures: {str(error) or type(error).__name__}.",
                remedy="Name the worker's PATCHBAY_HTTP_HOST and PATCHBAY_HTTP_PORT: --metrics http://10.0.0.5:8081",
            ) from None
        return answer.text


def _page(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UsageFault(f"'{url[:200]}' is no URL of a worker.", remedy="For example: --metrics http://10.0.0.5:8081")
    return url if parts.path.strip("/") else f"{url.rstrip('/')}/metrics"


def _added_up(at_s: float, texts: Sequence[str]) -> WorkerSample:
    sums: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for line in _lines(texts):
        if line.name == _FAULTS:
            faults[f"{line.labels.get('component')}/{line.labels.get('code')}"] += line.value  # type: ignore[assignment]
        elif line.name == _REFUSED:
            refused[line.labels.get("reason", "other")] += line.value  # type: ignore[assignment]
        else:
            sums[line.name] += line.value  # type: ignore[assignment]
    memory = sums.get(_MEMORY)
    return WorkerSample(
        at_s=round(at_s, 3),
        calls=sums.get(_CALLS),
        cpu_s=sums.get(_CPU),
        memory_mb=None if memory is None else round(memory / 1e6, 2),
        faults=dict(faults),
        refused=dict(refused),
    )


def _lines(texts: Sequence[str]) -> Iterator[Line]:
    for text in texts:
        for family in text_string_to_metric_families(text):
            yield from family.samples
