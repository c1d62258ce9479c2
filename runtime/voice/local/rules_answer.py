"""What the stand-in answers to what a model gets: to the caller's words, to a function's answer, on arrival."""

from __future__ import annotations

import json
import re

from runtime.variables import VariableSpec
from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_texts import read_refusal
from runtime.voice.local.rules_turn import Answer, Call, CallerTurn
from runtime.voice.local.rules_view import Answered, Called, Heard, Moved, Spoke, View

__all__ = ["decide"]

_AGAIN = "You may call it again."
_GREET = re.compile(r"\b(?:greet|welcome|introduce)", re.IGNORECASE)


def decide(view: View, *, may_call: bool = True, must_call: str | None = None) -> Answer:
    """Return the answer. Total and deterministic.

    Functions are called only straight after the caller's words, but for one whose answer says that it may be called again.
    `may_call` is False where the model is forbidden functions; `must_call` names the one it is told to call.
    """
    last = view.items[-1] if view.items else Moved()
    if isinstance(last, Heard) and not view.told:
        answer = CallerTurn(view, last.text).answer(must_call)
        return answer if may_call or not answer.calls else Answer(answer.text or CallerTurn(view, "").ask_again())
    if isinstance(last, Answered) and not view.told:
        if may_call and (repeated := _repeated(view, last)) is not None:
            return Answer("", (repeated,))
        return Answer(_after(view))
    return Answer(_arrival(view))


def _repeated(view: View, last: Answered) -> Call | None:
    """Return the call that nobody knows the end of, where it may be made once more."""
    if not (last.failed and last.text.endswith(_AGAIN)) or view.function(last.name) is None:
        return None
    called = next((item for item in reversed(view.items) if isinstance(item, Called) and item.name == last.name), None)
    try:
        arguments = json.loads(called.arguments) if called is not None else None
    except ValueError:
        return None
    return Call(last.name, arguments) if isinstance(arguments, dict) else None


def _after(view: View) -> str:
    """Return what to say about the functions that came back since the caller's last words."""
    answers: list[Answered] = []
    noted = False
    for item in reversed(view.items):
        if isinstance(item, Heard | Moved):
            break
        noted = noted or isinstance(item, Spoke)
        if isinstance(item, Answered):
            answers.append(item)
    for item in answers:
        if (text := _lacking(view, item.text)) is not None:
            return text
    done = [item for item in reversed(answers) if item.name != "remember"]
    if not done:
        return wording.ANYTHING_ELSE if noted else wording.THANKS + " " + wording.HELP
    return _outcome(done[-1])


def _lacking(view: View, output: str) -> str | None:
    lacking = read_refusal(output)
    specs = view.variables
    if lacking.invalid:
        name, why = lacking.invalid[0]
        return wording.invalid(specs.get(name, VariableSpec(name)), why)
    if lacking.incomplete:
        return "Please go on."
    if lacking.unconfirmed:
        return wording.read_back(lacking.unconfirmed[0][1])
    if lacking.missing:
        wanted = lacking.missing[0].name
        return CallerTurn(view, "").asking(specs.get(wanted, VariableSpec(wanted)))
    return None


def _outcome(item: Answered) -> str:
    text = item.text.strip()
    if item.failed:
        return f"I am sorry, that did not work. {wording.ANYTHING_ELSE}"
    if text.startswith("This is not possible"):
        return f"{wording.SORRY} {wording.ANYTHING_ELSE}"
    if text.startswith("This was done a moment ago"):
        return f"That was done a moment ago. {wording.ANYTHING_ELSE}"
    if not text or text.rstrip(".").lower() in {"done", "ok", "recorded", "null", "none"}:
        return f"That is done. {wording.ANYTHING_ELSE}"
    return f"{wording.result(text)} {wording.ANYTHING_ELSE}"


def _arrival(view: View) -> str:
    """Return how to open: a greeting at the start of a call, else the question for what the sole path needs."""
    if (quoted := wording.quoted_greeting(view.told)) is not None:
        return quoted
    if not any(isinstance(item, Heard) for item in view.items):
        return wording.quoted_greeting(view.system) or wording.HELLO
    missing = list(view.prompt.missing.values())
    if len(missing) == 1 and missing[0] and not _GREET.search(view.told):
        return wording.question(view.variables[missing[0][0].name])
    return wording.HELP
