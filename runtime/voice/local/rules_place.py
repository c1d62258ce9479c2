"""Where a conversation stands: what is in progress at this agent, and what its last words asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runtime.variables import VariableSpec
from runtime.voice.local import rules_wording as wording
from runtime.voice.local.rules_match import choose, content
from runtime.voice.local.rules_schema import Function
from runtime.voice.local.rules_spans import last_figures
from runtime.voice.local.rules_texts import read_refusal
from runtime.voice.local.rules_view import Answered, Called, Heard, Moved, Spoke, View

__all__ = [
    "KEYED",
    "Here",
    "asked_for",
    "asking_path",
    "dictated",
    "figures_before",
    "in_progress",
    "keyed_path",
    "last_words",
    "refused",
    "stay_before",
]

Here = Heard | Spoke | Called | Answered
KEYED = re.compile(r"\(The caller keyed in .* for ([a-z]\w*)\..*\)")  # how the engine puts a keypad entry
_ASKS = re.compile(r"\bplease (?:say(?! for example)|tell|give|enter|key|state|spell)\b", re.IGNORECASE)
_AT_MOST = 12  # items of the history that are searched for what is in progress


def stay_before(view: View) -> list[Here]:
    """Return what went before the caller's last words at this agent, the latest first."""
    stay: list[Here] = []
    for item in reversed(view.items[:-1]):
        if isinstance(item, Moved):
            break
        stay.append(item)
    return stay


def last_words(before: Sequence[Here]) -> str:
    """Return what the agent said last at this agent, or nothing."""
    return next((item.text for item in before if isinstance(item, Spoke)), "")


def dictated(view: View, text: str) -> str:
    """Return the caller's words, with those before them where a dictation goes on."""
    before: list[str] = []
    incomplete = False
    for item in stay_before(view):
        match item:
            case Answered():
                incomplete = incomplete or bool(read_refusal(item.text).incomplete)
            case Heard() if not incomplete:
                break
            case Heard():
                before.append(item.text)
                incomplete = False
            case _:
                pass
    return ", ".join([*reversed(before[:3]), text])


def figures_before(before: Sequence[Here], text: str) -> str:
    """Return the figures of the caller's words, with those that ended the turns straight before them."""
    parts = [figures for figures in (last_figures(text),) if figures]
    for item in before[:_AT_MOST] if parts else ():
        if isinstance(item, Heard):
            if not (figures := last_figures(item.text)):
                break
            parts.append(figures)
    return ", ".join(reversed(parts)) if len(parts) > 1 else ""


def in_progress(view: View, before: Sequence[Here]) -> Function | None:
    """Return the function that waits for the caller: refused before, or a tool or path whose question was ours."""
    for item in before[:_AT_MOST]:
        match item:
            case Answered(name=name) if (function := view.function(name)) in view.offered and function is not None:
                return function if item.text.startswith(("Not yet", "Incomplete")) else None
            case Heard(text=text) if KEYED.fullmatch(text):
                if (function := keyed_path(view, text)) is not None:
                    return function
            case Heard():
                function = choose(view.offered, item.text)
                if function is not None and function.required:
                    return function
            case _:
                pass
    spoken = last_words(before)
    sole = list(view.prompt.missing)
    function = view.function(sole[0]) if len(sole) == 1 else None
    if function is None or not any(wording.question(spec) in spoken for spec in _specs(view, view.needs(function))):
        return None
    return function


def asking_path(view: View, asked: str | None) -> Function | None:
    """Return the only path that lacks something, where it takes what was asked for: a greeting may ask in its own words."""
    sole = view.function(next(iter(view.prompt.missing))) if len(view.prompt.missing) == 1 else None
    return sole if sole is not None and asked is not None and sole.takes(asked) else None


def keyed_path(view: View, text: str) -> Function | None:
    """Return the only path that takes what a keypad entry was for; None for other words."""
    keyed = KEYED.fullmatch(text)
    taking = [function for function in view.offered if keyed is not None and function.takes(keyed[1])]
    return taking[0] if len(taking) == 1 else None


def refused(view: View, before: Sequence[Here]) -> Function | None:
    """Return the path that what is known ruled out last: what it takes is open to be given anew."""
    last = next((item for item in before[:_AT_MOST] if isinstance(item, Answered) and item.name != "remember"), None)
    ruled_out = last is not None and last.text.startswith("This is not possible")
    return view.function(last.name) if last is not None and ruled_out else None


def _specs(view: View, names: Sequence[str]) -> Iterator[VariableSpec]:
    return (view.variables[name] for name in names if name in view.variables)


def asked_for(view: View, progress: Function | None, before: Sequence[Here]) -> str | None:
    """Return the variable that the agent's last words asked for, or whose dictation goes on."""
    last = next((item for item in before if isinstance(item, Answered)), None)
    spoken = last_words(before)
    if "?" not in spoken and not _ASKS.search(spoken):
        return next(iter(read_refusal(last.text).incomplete), None) if last is not None else None
    needs = view.needs(progress) if progress is not None else ()
    wanted = [*needs, *(wanted.name for listed in view.prompt.missing.values() for wanted in listed), *view.variables]
    again = {name for name, _ in read_refusal(last.text if last is not None else "").invalid}
    settled = view.prompt.known.keys() - again
    specs = list(_specs(view, [name for name in dict.fromkeys(wanted) if name not in settled]))
    exact = next((spec.name for spec in specs if wording.question(spec) in spoken), None)
    if exact is not None or any(aloud in spoken for aloud in view.prompt.unconfirmed.values()):
        return exact
    heard = content(spoken)
    scored = [
        (len(heard & content(f"{spec.name.replace('_', ' ')} {wording.thing(spec)}")), spec.name) for spec in specs
    ]
    best = max((score for score, _ in scored), default=0)
    return next(name for score, name in scored if score == best) if best else None
