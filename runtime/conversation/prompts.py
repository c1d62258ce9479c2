"""What a model reads and a caller hears, rendered from the templates and from what the call knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.scene import Scene
from runtime.conversation.values import awaited_variable
from runtime.variables import VariableSpec, say_back
from runtime.workflow.graph import Agent
from runtime.workflow.templates import Template

__all__ = [
    "Instructions",
    "again",
    "arrival",
    "instructions",
    "last_refusal",
    "refusal",
    "remembered",
    "spoken",
    "standing",
]

Json = Any

SAID_BY_TYPE = frozenset({"digits", "phone", "email", "date", "time", "datetime"})

RULES = """# How this call works
You speak with a caller on the telephone. Answer in one or two short sentences of plain spoken language: no lists, no markup, no emoji.
Call a function as soon as it fits; never say that you will do so. A function's answer says what is still missing; ask the caller for that, one thing at a time. Record what the caller tells you with `remember`, and speak in the same message. Never make up a value, and never ask for what is known."""


def surroundings(scene: Scene, *, aloud: bool) -> dict[str, Json]:
    """Return what templates read: the variables (as they are said where it is for a voice) and the reserved names."""
    state = scene.state
    values: dict[str, Json] = {}
    for name, known in state.known.items():
        spec = scene.workflow.variables[name]
        if not spec.sensitive:
            # A template may ask `{% if extra %}` or compare; only texts are turned into what a voice says.
            plain_value = not aloud or isinstance(known.value, bool | int | float)
            values[name] = known.value if plain_value else say_back(spec, known.value, scene.language)
    return values | {
        "call": {"id": state.session_id, "channel": state.channel, "direction": state.direction},
        "caller": {"number": state.caller or "", "dialled": state.dialled or ""},
        "workspace": dict(scene.workspace),
        "attempts": _attempts(scene),
        "visits": state.visits.get(state.agent_id or "", 0),
        "now": scene.at.wall.astimezone(scene.workflow.zone).isoformat(timespec="minutes"),
    }


def _attempts(scene: Scene) -> int:
    awaited = awaited_variable(scene)
    return scene.state.attempts.get(awaited.name, 0) if awaited else 0


def spoken(scene: Scene, template: Template | None) -> str:
    """Render a text for the caller's ears: values are said by their type."""
    return "" if template is None else template.render(surroundings(scene, aloud=True)).strip()


def again(scene: Scene, template: Template) -> str:
    """Render a prompt for a silent caller, with the question that is still open."""
    return " ".join(filter(None, (spoken(scene, template), scene.state.question)))


def last_refusal(scene: Scene) -> str:
    """Return why the path that was asked for last was refused, in words for a model."""
    fact = scene.last_fact
    return refusal(scene, fact, ()) if isinstance(fact, ev.PathRefused) else ""


def plain(scene: Scene, template: Template) -> str:
    """Render a text for a machine: values as they are kept."""
    return template.render(surroundings(scene, aloud=False)).strip()


def aloud(scene: Scene) -> dict[str, str]:
    """Return, for values that a model writes as they are kept, how a voice says them: codes, numbers, addresses, dates."""
    state = scene.state
    held = [(name, known.value) for name, known in state.known.items()]
    held += [(name, pending.value) for name, pending in state.pending.items()]
    spoken_forms = {}
    for name, value in held:
        spec = scene.workflow.variables[name]
        if spec.data_type in SAID_BY_TYPE and isinstance(value, str) and len(value) > 2:
            spoken_forms[value] = say_back(spec, value, scene.language)
    return spoken_forms


def arrival(scene: Scene, agent: Agent, cause: ev.Cause) -> tuple[str, bool]:
    """Return what the agent says on arrival without a model, and whether its model opens instead.

    A model opens where nothing else would be heard: dead air is no greeting.
    """
    greeting = agent.node.greeting
    text = spoken(scene, agent.greeting_text)
    entering = cause == "entry"
    if cause == "resume" and scene.state.visits.get(agent.id, 0) > 1:
        return "", not any(scene.said)
    if scene.state.visits.get(agent.id, 0) > 1:
        mode = {"say": greeting.mode, "generate": "generate", "none": "none"}[greeting.on_return]
    else:
        mode = greeting.mode
    if mode == "say" and text:
        return text, False
    if mode == "wait" and entering:
        return "", False
    if mode in {"none", "wait"}:
        return "", not any(scene.said)
    return "", True


def instructions(scene: Scene) -> str:
    """Return the system prompt: the workflow's, the agent's, the rules. It stays the same while no template's value changes."""
    values = surroundings(scene, aloud=False)
    workflow, agent = scene.workflow, scene.agent
    parts = [
        workflow.instructions.render(values).strip() if workflow.instructions is not None else "",
        agent.instructions.render(values).strip(),
        RULES,
        _language(scene),
    ]
    return "\n\n".join(part for part in parts if part)


def standing(scene: Scene) -> str:
    """Return what is known and what is missing, which changes from turn to turn; empty where there is neither."""
    return "\n\n".join(filter(None, (_known(scene), _missing(scene))))


class Instructions:
    """Remembers the last system prompt and standing for as long as nothing they are made of has changed."""

    def __init__(self) -> None:
        self._of: tuple[Json, ...] = ()
        self._texts = ("", "")

    def __call__(self, scene: Scene) -> tuple[str, str]:
        state = scene.state
        # The mappings are compared by identity: the state makes a new one for every change.
        of = (state.known, state.pending, state.attempts, state.visits, state.asked, state.focus, scene.at.wall.minute)
        if len(of) != len(self._of) or any(new is not old for new, old in zip(of, self._of, strict=True)):
            self._of, self._texts = of, (instructions(scene), standing(scene))
        return self._texts


def _language(scene: Scene) -> str:
    return "" if scene.language.startswith("en") else f"Speak the language `{scene.language}`."


def _known(scene: Scene) -> str:
    lines = []
    for name, known in scene.state.known.items():
        spec = scene.workflow.variables[name]
        shown = "(given, secret)" if spec.sensitive else _plain(known.value)
        lines.append(f"- {name}: {shown}")
    for name, pending in scene.state.pending.items():
        spec = scene.workflow.variables[name]
        shown = "(keyed, secret)" if _keyed_secret(scene, spec) else _plain(pending.value)
        lines.append(f"- {name}: {shown} (not confirmed). {_read_back(scene, spec)}")
    return "# What is known\n" + "\n".join(lines) if lines else ""


def _keyed_secret(scene: Scene, spec: VariableSpec) -> bool:
    """A sensitive value that was keyed never reaches a model: the engine reads it back by itself."""
    return spec.sensitive and scene.state.pending[spec.name].source == "dtmf"


def _read_back(scene: Scene, spec: VariableSpec) -> str:
    pending = scene.state.pending[spec.name]
    if _keyed_secret(scene, spec):
        return "It is being confirmed with the caller; say nothing about it."
    aloud = say_back(spec, pending.value, scene.language, spell=spec.confirm == "spell")
    return f'Read it back to the caller as "{aloud}" and ask whether that is right.'


def _missing(scene: Scene) -> str:
    lines = []
    for path in scene.agent.offered:
        names = [name for name in path.required if name not in scene.state.known and name not in scene.state.pending]
        if names and path.trigger != "dtmf" and not path.otherwise:
            wanted = "; ".join(described(scene.workflow.variables[name]) for name in names)
            lines.append(f"- {f'for {path.function_name}' if path.trigger == 'model' else 'to go on'}: {wanted}")
    return "# What is still missing\n" + "\n".join(lines) if lines else ""


def described(spec: VariableSpec) -> str:
    """Return a variable as a model is told of it: name, description, form."""
    detail = ", ".join(filter(None, (spec.description.rstrip("."), _form(spec))))
    return f"{spec.name} ({detail})"


def _form(spec: VariableSpec) -> str:
    low, high = spec.min_length, spec.max_length
    unit = "digits" if spec.data_type == "digits" else "characters"
    if low is not None and high is not None:
        return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
    if low is not None:
        return f"at least {low} {unit}"
    if high is not None:
        return f"at most {high} {unit}"
    return spec.data_type.replace("_", " ")


def _plain(value: Json) -> str:
    if isinstance(value, Mapping):
        return " ".join(str(item) for item in value.values())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def refusal(scene: Scene, fact: ev.PathRefused, incomplete: Sequence[str] = ()) -> str:
    """Return what a model is told of a refused path, in words it can act on."""
    match fact.reason:
        case "path_already_taken" | "moved_on":
            return "The conversation has moved on; this was not done."
        case "call_ending":
            return "The call is ending; this was not done."
        case "not_offered":
            return "This is not possible here."
        case "cooldown":
            return "This was done a moment ago; do not do it again now."
        case "guard_fault":
            return "This is not possible at the moment. Tell the caller so and go on with something else."
        case "guard":
            return "This is not possible with what is known. Tell the caller so and go on with something else."
        case _:
            return "Not yet. " + lacking(scene, fact.missing, fact.invalid, fact.unconfirmed, incomplete)


def lacking(
    scene: Scene,
    missing: Sequence[str] = (),
    invalid: Sequence[ev.InvalidValue] = (),
    unconfirmed: Sequence[str] = (),
    incomplete: Sequence[str] = (),
) -> str:
    """Return what is missing, incomplete, invalid or unconfirmed, each with what to do about it."""
    variables = scene.workflow.variables
    lines = [f"Invalid: {item.name} {item.why}." for item in invalid]
    lines += [f"Incomplete: {name}. Let the caller go on." for name in incomplete]
    asked = [name for name in missing if name not in incomplete]
    if asked:
        lines.append("Missing: " + "; ".join(described(variables[name]) for name in asked) + ". Ask the caller.")
    lines += [
        f"Unconfirmed: {name}. {_read_back(scene, variables[name])}"
        for name in unconfirmed
        if name in scene.state.pending
    ]
    return " ".join(lines)


def question_of(scene: Scene, aloud: str) -> str:
    """Return the engine's own read-back, for a model that did not say it."""
    match scene.language.split("-")[0]:
        case "de":
            return f"Ich habe notiert: {aloud}. Ist das richtig?"
        case "fr":
            return f"J'ai noté : {aloud}. C'est correct ?"
        case "es":
            return f"He anotado: {aloud}. ¿Es correcto?"
        case _:
            return f"I have {aloud}. Is that right?"


def remembered(
    scene: Scene, invalid: Mapping[str, ev.InvalidValue], incomplete: Sequence[str], unknown: Sequence[str]
) -> str:
    """Return the answer to `remember`."""
    text = lacking(scene, (), tuple(invalid.values()), tuple(scene.state.pending), incomplete)
    if unknown:
        text += f" There is no variable called {', '.join(unknown)}."
    return text.strip() or "Recorded."
