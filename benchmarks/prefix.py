"""`python -m benchmarks.prefix`: how much of each request to a model is what the request before began with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Any, Final

from livekit.agents import llm

from benchmarks.calls import call_row, open_calls
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say
from runtime.session.call_session import SystemClock
from runtime.store.memory import MemoryStore
from runtime.voice.live_call import open_call
from runtime.voice.local.rules import RulesLLM
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Agent, compile_workflow

__all__ = ["Request", "measure", "played", "shares"]

Json = Any
_TOKEN: Final = re.compile(r"\w{1,4}|[^\w\s]|\s+")

SCRIPT: Final = (
    "Hello, I would like some help.",
    "My customer number is four two seven one.",
    "Yes, that is right.",
    "I have a question about my invoice.",
    "It is invoice number eight eight one two.",
    "Yes.",
    "And one more thing about it, please.",
    "Please put me through to the front desk.",
    "My email is jo at example dot com.",
    "Yes, that is right.",
    "Thank you.",
)

_NUMBER: Final = {"name": "customer_id", "data_type": "digits", "description": "The customer number.", "min_length": 4}
_INVOICE: Final = {
    "name": "invoice",
    "data_type": "digits",
    "description": "The number of the invoice.",
    "min_length": 4,
}
_EMAIL: Final = {"name": "email", "data_type": "email", "description": "Where to write to."}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the agent that was spoken to, and what the model reads, in the order in which servers read it."""

    agent: str
    tools: str
    messages: tuple[str, ...]
    """Each as JSON."""

    def with_all_in_front(self) -> Request:
        """Return it as it would be with everything of the system's in the first message."""
        told = [each for each in self.messages if json.loads(each)["role"] == "system"]
        return replace(self, messages=("".join(told), *(each for each in self.messages if each not in told)))

    def parts(self) -> list[str]:
        """Return about its tokens: pieces of words of up to 4 characters, each sign, each stretch of blanks.

        English text has about 4 characters a token. A real tokenizer counts a little otherwise; a share of two counts
        hardly changes by that.
        """
        return _TOKEN.findall("\n".join((self.tools, *self.messages)))


def measure() -> dict[str, float]:
    """Return the mean share of a request's tokens that the request before began with: at the same agent, and at all."""
    return _means(asyncio.run(played()))


def _means(requests: Sequence[Request]) -> dict[str, float]:
    same = [share for share, stayed in shares(requests) if stayed]
    every = [share for share, _ in shares(requests)]
    return {"prefix_share_same_agent": fmean(same), "prefix_share_all": fmean(every)}


def shares(requests: Sequence[Request]) -> Iterator[tuple[float, bool]]:
    """Yield for each request but the first its share, and whether the agent is the one of the request before."""
    for before, now in pairwise(requests):
        known, read = before.parts(), now.parts()
        same = next((at for at, (one, two) in enumerate(zip(known, read, strict=False)) if one != two), len(known))
        yield min(same, len(read)) / len(read), before.agent == now.agent


async def played() -> list[Request]:
    """Play the script against the offline model and return what it was asked, in order."""
    workflow = compile_workflow(WorkflowConfig.model_validate(_config()), version_id="prefix")
    clock, listening = SystemClock(), _Listening()
    async with AsyncExitStack() as stack:
        calls = await stack.enter_async_context(open_calls(MemoryStore()))
        plan = calls.plan(workflow, listening, call_row(calls.organization_id, "chat_test"), clock)
        live = await stack.enter_async_context(open_call(plan, text=True))
        caller = ChatCaller(live, clock)
        await caller.begin()
        for line in SCRIPT:
            listening.model.agent = live.call.state.agent_id or ""
            await caller.take(Say(line))
    return listening.model.requests


class _Listening(Providers):
    def __init__(self) -> None:
        super().__init__(offline=True)
        self.model = _Noting()

    def llm(self, agent: Agent) -> llm.LLM[Any]:
        self.model.agent = agent.id
        return self.model


class _Noting(RulesLLM):
    """The offline model, which keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = ""
        self.requests: list[Request] = []

    def chat(self, *, chat_ctx: llm.ChatContext, tools: list[llm.Tool] | None = None, **options: Any) -> llm.LLMStream:
        messages, _ = chat_ctx.to_provider_format("openai")
        schemas = llm.ToolContext(tools or []).parse_function_tools("openai", strict=True)
        texts = tuple(json.dumps(each, ensure_ascii=False) for each in messages)
        self.requests.append(Request(self.agent, json.dumps(schemas, ensure_ascii=False), texts))
        return super().chat(chat_ctx=chat_ctx, tools=tools, **options)


def _config() -> dict[str, Json]:
    desk = {
        "id": "desk",
        "name": "Front Desk",
        "paths": [_path("to_billing", "billing", _NUMBER), _path("to_accounts", "accounts", _EMAIL)],
    }
    billing = {"id": "billing", "name": "Billing", "paths": [_path("to_front_desk", "desk", _INVOICE)]}
    accounts = {"id": "accounts", "name": "Accounts", "paths": [_path("to_front_desk_again", "desk")]}
    return {
        "instructions": "You work for Acme, which repairs heatings. " * 12,
        "agents": [
            {
                **agent,
                "instructions": f"You are {agent['name']}. Be brief and kind. " * 12,
                "greeting": {"text": "Hello."},
            }
            for agent in (desk, billing, accounts)
        ],
    }


_ASKED_FOR: Final[Mapping[str, str]] = {
    "to_billing": 'the caller has a question about an invoice. For example: "I have a question about my invoice"',
    "to_accounts": 'the caller gives an email address. For example: "My email is"',
    "to_front_desk": 'the caller wants the front desk. For example: "Please put me through to the front desk"',
    "to_front_desk_again": "the caller wants the front desk.",
}


def _path(name: str, target: str, *variables: Json) -> dict[str, Json]:
    return {
        "id": f"p-{name}",
        "name": name.replace("_", " ").title(),
        "description": f"Use when {_ASKED_FOR[name]}",
        "target_agent_id": target,
        "required_variables": list(variables),
    }


def main() -> None:
    """Print the share by request."""
    requests = asyncio.run(played())
    for (share, stayed), request in zip(shares(requests), requests[1:], strict=True):
        print(
            f"{request.agent:<10} {len(request.parts()):>6} tokens  {share:5.0%} as before{'' if stayed else '  (handoff)'}"
        )
    in_front = _means([request.with_all_in_front() for request in requests])
    for name, value in _means(requests).items():
        print(f"{name:<26} {value:.3f}; {in_front[name]:.3f} with everything in the first message")


if __name__ == "__main__":
    main()
