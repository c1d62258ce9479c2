"""A call as it happens, for people: who speaks, how long it took, what is collected, which path is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rich.text import Text

from cli.output import console, plain
from runtime.conversation.state import CallState
from runtime.session.ports import EventRow
from runtime.workflow.graph import Workflow

__all__ = ["Timeline", "status_line"]

Json = Any


class Timeline:
    """Prints one line for each event that tells a person something; call it with every event."""

    def __init__(self, *, chat: bool = False) -> None:
        self._chat = chat
        self._console = console()

    def __call__(self, event: EventRow) -> None:
        line = LINES.get(event.event_type)
        if line is None or (self._chat and event.event_type == "user_turn" and event.payload.get("by") == "speech"):
            return
        text = line(event.payload)
        if text is None:
            return
        began = event.payload.get("start_ms") or event.payload["elapsed_ms"]
        clock = f"{began / 1000:7.2f}s  "
        self._console.print(Text.assemble((clock, "dim"), text), soft_wrap=True)


def _started(payload: Mapping[str, Json]) -> Text:
    return Text(f"call started ({payload['channel'].replace('_', ' ')})", "dim")


def _entered(payload: Mapping[str, Json]) -> Text:
    return Text.assemble(("▸ ", "bold magenta"), (plain(payload["agent_name"]), "bold magenta"))


def _user(payload: Mapping[str, Json]) -> Text:
    how = " ⌨" if payload["by"] == "dtmf" else ""
    return Text.assemble(("caller", "bold cyan"), (how, "cyan"), "  ", plain(payload["text"]))


def _agent(payload: Mapping[str, Json]) -> Text:
    text = Text.assemble(("agent ", "bold green"), "  ", plain(payload["spoken_text"]))
    if payload["interrupted"]:
        text.append(" — cut off", "yellow")
    timings = [
        f"{name} {payload[key]} ms"
        for key, name in (("response_ms", "response"), ("llm_ttft_ms", "model"), ("tts_ttfb_ms", "voice"))
        if payload.get(key) is not None
    ]
    return text.append(f"   {', '.join(timings)}", "dim") if timings else text


def _collected(payload: Mapping[str, Json]) -> Text:
    state = "" if payload.get("confirmed", True) else "  (to be confirmed)"
    return Text.assemble(
        ("✓ ", "blue"), (plain(payload["name"]), "blue"), " = ", _value(payload["value"]), (state, "yellow")
    )


def _rejected(payload: Mapping[str, Json]) -> Text:
    return Text.assemble(("✗ ", "red"), (plain(payload["name"]), "red"), f"  {plain(payload['why'])}")


def _taken(payload: Mapping[str, Json]) -> Text:
    return Text.assemble(("→ ", "bold"), (plain(payload["path_name"]), "bold"), (f"   by {payload['by']}", "dim"))


def _refused(payload: Mapping[str, Json]) -> Text:
    lacking = [*payload["missing"], *(item["name"] for item in payload["invalid"]), *payload["unconfirmed"]]
    return Text.assemble(
        ("↛ ", "yellow"),
        (plain(payload["path_name"]), "yellow"),
        f"  {payload['reason']}: {', '.join(lacking)}".rstrip(": "),
    )


def _key(payload: Mapping[str, Json]) -> Text | None:
    return Text(f"key {plain(payload['digits'])}", "cyan") if payload["digits"] else None


def _tool(payload: Mapping[str, Json]) -> Text:
    failed = payload.get("error_code")
    told = f"failed: {failed}" if failed else plain(payload["result_preview"])[:120]
    return Text.assemble(
        ("⚒ ", "blue"), plain(payload["name"]), f"  {told}", (f"   {payload['duration_ms']} ms", "dim")
    )


def _silence(payload: Mapping[str, Json]) -> Text:
    return Text(f"… {payload['seconds']:g} s of silence", "dim")


def _fault(payload: Mapping[str, Json]) -> Text:
    return Text.assemble(("! ", "bold red"), plain(f"{payload['component']}: {payload['message']}"))


def _ended(payload: Mapping[str, Json]) -> Text:
    return Text(f"call ended: {payload['reason'].replace('_', ' ')}, {payload['turns']} turns", "dim")


LINES: Mapping[str, Callable[[Mapping[str, Json]], Text | None]] = {
    "call_started": _started,
    "agent_entered": _entered,
    "user_turn": _user,
    "agent_turn": _agent,
    "variable_collected": _collected,
    "variable_corrected": _collected,
    "variable_confirmed": _collected,
    "variable_rejected": _rejected,
    "path_taken": _taken,
    "path_refused": _refused,
    "dtmf_received": _key,
    "tool_succeeded": _tool,
    "tool_failed": _tool,
    "silence_elapsed": _silence,
    "fault_raised": _fault,
    "call_ended": _ended,
}


def _value(value: Json) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def status_line(state: CallState, workflow: Workflow) -> str:
    """Return where the call stands in one line: the agent, and what is known."""
    agent = workflow.agents[state.agent_id].name if state.agent_id is not None else "–"
    shown = [
        f"{name}={'•••' if workflow.variables[name].sensitive else _value(known.value)}"
        for name, known in state.known.items()
    ]
    return f"[{agent}] {'  '.join(shown)}".rstrip()
