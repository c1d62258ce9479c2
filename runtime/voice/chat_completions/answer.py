"""One answer of a model, from the data of its events to LiveKit's chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from livekit.agents import APIError, APIStatusError, llm
from livekit.agents.llm import utils as llm_utils

from runtime.voice.chat_completions.calls import Calls

__all__ = ["Answer"]

Json = Any
_DONE: Final = b"[DONE]"
_UNREADABLE: Final = (APIError, ValueError, TypeError, AttributeError, LookupError)


@dataclass(slots=True)
class _Batch:
    """What came together."""

    text: str = ""
    calls: list[llm.FunctionToolCall] = field(default_factory=list)
    extra: dict[str, Json] = field(default_factory=dict)
    usage: llm.CompletionUsage | None = None


class Answer:
    """Takes the data of events in as they arrive; what arrives together goes on as one chunk of text."""

    def __init__(self) -> None:
        self.done = False
        """Whether the server said that nothing follows."""
        self.given = False
        """Whether text or a call has gone out, after which nobody may ask again for the same answer."""
        self.fault: Exception | None = None
        """Why nothing more can be read: APIError for what the server itself reports."""
        self._id = ""
        self._choices = 0
        self._finish: str | None = None
        self._calls = Calls()
        self._filter: llm_utils.ThinkingTokenFilter | None = None

    def take(self, events: Iterable[bytes]) -> list[llm.ChatChunk]:
        """Return what the events bring, up to the first that cannot be read: text, calls, what it cost."""
        batch = _Batch()
        for data in events:
            if data.startswith(_DONE):
                self.done = True
                break
            try:
                self._read(json.loads(data.decode()), batch)
            except _UNREADABLE as fault:
                self.fault = fault
                break
        return self._chunks(batch)

    def end(self) -> list[llm.ChatChunk]:
        """Return what the end of the stream completes. Raises ValueError where it ended too soon or had no answer."""
        if self._finish is None and self._calls.pending and not self.done:
            raise ValueError("the stream ended within a call of a function")
        if not self._choices:
            raise ValueError("the stream had no answer in it")
        return self._chunks(_Batch(self._visible("", final=True), self._calls.finish(self._finish)))

    def _read(self, chunk: Mapping[str, Json], batch: _Batch) -> None:
        if error := chunk.get("error"):
            raise _reported(error)
        self._id = chunk.get("id") or self._id
        for choice in chunk.get("choices") or ():
            text, extra = self._choice(choice, batch.calls)
            batch.text += text
            batch.extra |= extra
        if chunk.get("usage"):
            batch.usage = _usage(chunk)

    def _choice(self, choice: Mapping[str, Json], calls: list[llm.FunctionToolCall]) -> tuple[str, Mapping[str, Json]]:
        self._choices += 1
        delta = choice.get("delta") or {}
        for fragment in delta.get("tool_calls") or ():
            calls += self._calls.add(fragment)
        reason = choice.get("finish_reason") or None  # some servers say "" until they mean it
        if reason is not None:
            self._finish = reason
            calls += self._calls.finish(reason)
        return self._visible(delta.get("content"), final=reason is not None), delta.get("extra_content") or {}

    def _visible(self, content: Json, *, final: bool) -> str:
        """Return the text without what a model thinks aloud between <think> and </think>."""
        if self._filter is None:
            if content is None or (isinstance(content, str) and "<" not in content):
                return content or ""
            self._filter = llm_utils.ThinkingTokenFilter()
        return llm_utils.strip_thinking_tokens(content, self._filter, final=final) or ""

    def _chunks(self, batch: _Batch) -> list[llm.ChatChunk]:
        chunks = []
        if batch.text or batch.calls or batch.extra:
            self.given = self.given or bool(batch.text or batch.calls)
            delta = llm.ChoiceDelta(
                role="assistant", content=batch.text or None, tool_calls=batch.calls, extra=batch.extra or None
            )
            chunks.append(llm.ChatChunk(id=self._id, delta=delta))
        if batch.usage is not None:
            chunks.append(llm.ChatChunk(id=self._id, usage=batch.usage))
        return chunks


def _reported(error: Json) -> APIError:
    """Return the error that a server reports after it has begun to answer."""
    told = error if isinstance(error, Mapping) else {"message": error}
    message = told.get("message")
    said = message if isinstance(message, str) and message else "An error occurred during streaming"
    code = told.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return APIStatusError(said, status_code=code, body=error)
    return APIError(said, body=error)


def _usage(chunk: Mapping[str, Json]) -> llm.CompletionUsage:
    usage = chunk["usage"]
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return llm.CompletionUsage(
        completion_tokens=usage.get("completion_tokens") or 0,
        prompt_tokens=usage.get("prompt_tokens") or 0,
        prompt_cached_tokens=prompt.get("cached_tokens") or 0,
        cache_creation_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=completion.get("reasoning_tokens") or 0,
        total_tokens=usage.get("total_tokens") or 0,
        service_tier=chunk.get("service_tier"),
    )
