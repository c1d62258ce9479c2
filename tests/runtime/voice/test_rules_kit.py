"""What the tests of the stand-in share: functions, prompts and histories as a model gets them."""

from __future__ import annotations

from typing import Any

from livekit.agents import llm
from livekit.agents.llm import function_tool

from runtime.variables import VariableSpec, json_schema
from runtime.voice.local.rules_answer import decide
from runtime.voice.local.rules_turn import Answer
from runtime.voice.local.rules_view import read_view

Item = tuple[str, ...]

NUMBER = VariableSpec(
    "customer_number", "digits", "The customer number, as printed on every invoice.", min_length=4, max_length=8
)
DAY = VariableSpec("day", "date", "the day of the appointment")
AT = VariableSpec("at", "time", "the time of the appointment")
NAME = VariableSpec("full_name", "person_name", "the caller's name")
EMAIL = VariableSpec("email", "email", "the caller's email address")
ROOM = VariableSpec("room", "enum", "the kind of room", enum=("single", "double"))
REASON = VariableSpec("reason", "string", "what the problem is")
CONSENT = VariableSpec("consent", "boolean", "whether the caller agrees to be recorded")


async def _never(raw_arguments: dict[str, Any]) -> None: ...


def tool(name: str, description: str, properties: Any = None, required: Any = None) -> llm.RawFunctionTool[Any, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": properties or {}}
    if required is not None:
        parameters["required"] = required
    return function_tool(_never, raw_schema={"name": name, "description": description, "parameters": parameters})


def path(name: str, description: str, *specs: VariableSpec) -> llm.RawFunctionTool[Any, Any]:
    return tool(name, description, {spec.name: json_schema(spec) for spec in specs})


TOOLS: list[llm.Tool] = [
    path("remember", "Records what the caller told.", NUMBER, DAY, AT, NAME, EMAIL, ROOM, REASON, CONSENT),
    path(
        "to_billing",
        'Use when the caller has a question about an invoice, a bill or a payment. For example: "I have a question '
        'about my invoice"; "You charged me twice"',
        NUMBER,
    ),
    path("book_visit", 'Use for appointments. For example: "I would like an appointment"', DAY, AT, NAME),
    path("report_fault", 'For example: "My heating is broken"', REASON, CONSENT),
    path("say_goodbye", "Use when the caller has everything they need."),
    tool("check_order", "Looks an order up by its number.", {"order_number": {"type": "string"}}, ["order_number"]),
]

D_NUMBER = "customer_number (The customer number, as printed on every invoice., 4 to 8 digits)"
D_DAY, D_AT = "day (the day of the appointment, date)", "at (the time of the appointment, time)"
D_NAME = "full_name (the caller's name, person name)"
MISSING = f"""You answer for Acme.

# How this call works
Answer in short sentences.

# What is still missing
- for to_billing: {D_NUMBER}
- for book_visit: {D_DAY}; {D_AT}; {D_NAME}
- for report_fault: reason (what the problem is, string); consent (whether the caller agrees to be recorded, boolean)"""
KNOWN = "You answer for Acme.\n\n# What is known\n- customer_number: 4271"
READ_BACK = 'Read it back to the caller as "4 2 7 1" and ask whether that is right.'
PENDING = f"You answer for Acme.\n\n# What is known\n- customer_number: 4271 (not confirmed). {READ_BACK}"
MOVED = "Done. The conversation has moved on."

ASK_NUMBER = "May I have your customer number, please?"
ASK_DAY = "May I have the day of the appointment, please?"
ASK_REASON = "Could you tell me what the problem is, please?"
IS_IT_RIGHT = "I have 4 2 7 1. Is that right?"


def caller(text: str) -> Item:
    return ("user", text)


def agent(text: str) -> Item:
    return ("assistant", text)


def returned(name: str, output: str) -> tuple[Item, Item]:
    return ("call", name), ("output", name, output)


WANTS_BILLING = (
    caller("I have a question about my invoice"),
    *returned("to_billing", f"Not yet. Missing: {D_NUMBER}. Ask the caller."),
)
ASKED = (*WANTS_BILLING, agent(ASK_NUMBER))
READ = (
    *ASKED,
    caller("four two seven one"),
    *returned("to_billing", f"Not yet. Unconfirmed: customer_number. {READ_BACK}"),
    agent(IS_IT_RIGHT),
)
BOOKING = (
    caller("I would like an appointment"),
    *returned("book_visit", f"Not yet. Missing: {D_DAY}; {D_AT}; {D_NAME}. Ask the caller."),
    agent(ASK_DAY),
)
FAULT = (
    caller("my heating is broken"),
    *returned("report_fault", "Not yet. Missing: reason (what the problem is, string). Ask the caller."),
    agent(ASK_REASON),
)


def context(*items: Item, system: str = MISSING) -> llm.ChatContext:
    chat = llm.ChatContext.empty()
    if system:
        chat.add_message(role="system", content=system)
    for item in items:
        match item:
            case ("call", name):
                chat.items.append(llm.FunctionCall(call_id=name, name=name, arguments="{}"))
            case ("output", name, output):
                chat.items.append(llm.FunctionCallOutput(call_id=name, name=name, output=output, is_error=False))
            case ("failed", name, output):
                chat.items.append(llm.FunctionCallOutput(call_id=name, name=name, output=output, is_error=True))
            case ("handoff",):
                chat.items.append(llm.AgentHandoff(new_agent_id="next"))
            case (role, text):
                chat.add_message(role=role, content=text)  # type: ignore[arg-type]
    return chat


def answer(*items: Item, system: str = MISSING, tools: list[llm.Tool] | None = None) -> Answer:
    return decide(read_view(context(*items, system=system), TOOLS if tools is None else tools))


def calls(found: Answer) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.arguments)) for call in found.calls]
