"""An answer that is asked for before the caller's turn is over, and kept back until it turns out to be the one that is wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from livekit.agents import APIConnectOptions, llm
from livekit.agents.types import NotGivenOr

from runtime.conversation import commands as do
from runtime.conversation import events as ev
from runtime.conversation import masking
from runtime.conversation.interpreter import advance
from runtime.conversation.scene import Scene
from runtime.session.call_session import CallSession
from runtime.tasks import spawn
from runtime.voice.completion import Chunk, Completion, Haste, chunks
from runtime.voice.described import describe
from runtime.voice.listener import TurnListener

__all__ = ["MOST", "EarlyAnswer", "Question", "foreseen"]


MOST: Final = 3
"""Answers asked for ahead in one turn: a caller who goes on and on wastes no more than this."""
Form: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a model. Two with equal `form` have the same answer."""

    model: llm.LLM[Any]
    items: Sequence[llm.ChatItem]
    tools: Sequence[llm.Tool]
    tool_choice: NotGivenOr[llm.ToolChoice]

    def form(self) -> Form:
        """Return all that the answer depends on, copied, so that it is as it was whatever becomes of the items."""
        return (self.model, tuple(self.tools), self.tool_choice, *map(_form, self.items))

    def ask(self, patience: APIConnectOptions) -> llm.LLMStream:
        """Begin the request; the answer gathers in what is returned, read or not."""
        return self.model.chat(
            chat_ctx=llm.ChatContext(list(self.items)),
            tools=list(self.tools),
            tool_choice=self.tool_choice,
            conn_options=patience,
        )


@dataclass(frozen=True, slots=True)
class _Ahead:
    stream: llm.LLMStream
    model: llm.LLM[Any]
    form: Form


class EarlyAnswer:
    """At most one answer that was asked for ahead. Nobody sees any of it before it is known to be the one that is wanted."""

    def __init__(self, listener: TurnListener) -> None:
        self._listener = listener
        self._ahead: _Ahead | None = None
        self._left = MOST

    @property
    def under_way(self) -> bool:
        """Whether an answer waits to be taken."""
        return self._ahead is not None

    def begin(self, question: Question, patience: APIConnectOptions) -> None:
        """Ask ahead, in place of what was asked before, unless this turn has had its `MOST`.

        It is tried once: what fails here is asked anew in its turn, with all of the patience.
        """
        self.drop()
        if not self._left:
            return
        self._left -= 1
        once = APIConnectOptions(max_retry=0, retry_interval=0.0, timeout=patience.timeout)
        self._ahead = _Ahead(question.ask(once), question.model, question.form())

    def _take(self, question: Question) -> llm.LLMStream | None:
        ahead = self._ahead
        if ahead is None:
            return None
        if ahead.form != question.form():
            self.drop()
            return None
        self._ahead = None
        return ahead.stream

    async def answer(
        self, question: Question, patience: APIConnectOptions, completion: Completion, haste: Haste
    ) -> AsyncIterator[Chunk]:
        """Yield the answer to `question`: the early one if that is it, and if it brings anything; else one asked for now.

        Raises TimeoutError as `chunks` does, and whatever the model raises.
        """
        if (early := self._take(question)) is not None:
            failure: Exception | None = None
            try:
                async with early:
                    async for chunk in chunks(early, completion, haste):
                        yield chunk
            except TimeoutError:
                raise
            except Exception as error:
                if completion.answered:
                    raise
                failure = error
            if completion.answered:
                return
            self._listener.answer_retried("empty" if failure is None else "error", failure)
        async with question.ask(patience) as stream:
            async for chunk in chunks(stream, completion, haste):
                yield chunk

    def drop(self) -> None:
        """Throw away what was asked for ahead, if anything was."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._listener.answer_discarded(ahead.model)
            spawn(_discard(ahead.stream, self._listener), name="early answer dropped")

    def turn_over(self) -> None:
        """The caller's next turn may be answered ahead as often as this one."""
        self._left = MOST


def foreseen(call: CallSession, text: str) -> Scene | None:
    """Return the call as it would be if the caller's turn were over with `text`; None where no answer may be begun.

    The rules are asked, and nothing of what they say is done: only a turn from which they would conclude nothing but
    to ask the model is answered ahead.
    """
    state = call.state
    if state.agent_id is None or state.pending or state.tools or masking.awaited(call.workflow, state):
        return None
    if not call.workflow.agents[state.agent_id].turn.preemptive:
        return None
    at = call.instant()
    step = advance(call.workflow, state, ev.TurnHeard(at=at, text=text, language=call.view().language), call.workspace)
    plain = all(isinstance(fact, ev.UserTurn) and not fact.partial for fact in step.facts)
    orders = [each for each in step.commands if not isinstance(each, do.StartTimer | do.CancelTimer)]
    if not plain or orders != [do.AskModel()]:
        return None
    return Scene(call.workflow, call.workspace, step.state, at)


def _form(item: llm.ChatItem) -> Form:
    match item:
        case llm.ChatMessage():
            return (item.role, (item.text_content or "").strip())
        case llm.FunctionCall():
            return (item.type, item.call_id, item.name, item.arguments)
        case llm.FunctionCallOutput():
            return (item.type, item.call_id, item.output, item.is_error)
        case _:
            return (item.type, item.id)


async def _discard(stream: llm.LLMStream, listener: TurnListener) -> None:
    await stream.aclose()
    try:
        async for _chunk in stream:
            pass
    except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, nobody waits for this answer
        if not listener.ending:
            listener.report("llm", "llm_error", f"An early answer failed: {describe(error)}.", "discarded")
