"""Rules of the call's settings: language, region, time zone, waiting times, voicemail and greetings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import phonenumbers

from runtime.numbers import telephone_address
from runtime.workflow.faults import Fault, Loc, error, nearest, warning
from runtime.workflow.merging import merged
from runtime.workflow.validation.survey import Survey
from runtime.workflow.voice_config import TurnConfig

__all__ = ["session_faults"]

_LANGUAGE = re.compile(r"(?:[A-Za-z]{2,3}|multi)(?:[-_][A-Za-z0-9]{2,8})*")
_END_TOOL = "webhook"


def session_faults(survey: Survey) -> Iterator[Fault]:
    """Yield the faults of `session`, and of what agents set of the same kind."""
    yield from _time_zone(survey.config.session.time_zone)
    yield from _region(survey.config.session.region)
    yield from _languages(survey)
    yield from _delays(survey)
    yield from _words(survey)
    yield from _telephones(survey)
    yield from _end_tools(survey)


def _time_zone(name: str) -> Iterator[Fault]:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, available_timezones())
        remedy = f"Did you mean “{near}”?" if near else "Use an IANA name, such as “Europe/Berlin”."
        yield error(("session", "time_zone"), "unknown_time_zone", f"“{name[:80]}” is no time zone.", remedy)


def _region(region: str | None) -> Iterator[Fault]:
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        upper = region.upper()
        is_case = upper in phonenumbers.SUPPORTED_REGIONS
        remedy = f"Did you mean “{upper}”?" if is_case else "Use an ISO 3166 country code of two letters, such as “DE”."
        yield error(("session", "region"), "unknown_region", f"“{region[:80]}” is no region.", remedy)


def _languages(survey: Survey) -> Iterator[Fault]:
    places: list[tuple[Loc, str]] = [(("session", "language"), survey.config.session.language)]
    places += [
        ((*agent.loc, "language"), agent.node.language) for agent in survey.agents if agent.node.language is not None
    ]
    for loc, language in places:
        if not _LANGUAGE.fullmatch(language):
            message = f"{survey.place(loc)}: “{language[:80]}” is no language tag."
            yield error(loc, "unknown_language", message, "Use a tag such as “en” or “de-AT”.")


def _delays(survey: Survey) -> Iterator[Fault]:
    base = survey.config.defaults.turn
    yield from _delay(survey, ("defaults", "turn"), base, base)
    for agent in survey.agents:
        yield from _delay(survey, (*agent.loc, "turn"), agent.node.turn, merged(base, agent.node.turn))


def _delay(survey: Survey, loc: Loc, written: TurnConfig, effective: TurnConfig) -> Iterator[Fault]:
    keys = [key for key in ("min_delay_s", "max_delay_s") if key in written.endpointing.model_fields_set]
    low, high = effective.endpointing.min_delay_s, effective.endpointing.max_delay_s
    if keys and low > high:
        loc = (*loc, "endpointing", keys[0])
        message = f"{survey.place(loc)} waits at least {low:g} s and at most {high:g} s for a turn to end."
        yield error(loc, "limits_contradict", message, "Make min_delay_s the smaller one.")


def _words(survey: Survey) -> Iterator[Fault]:
    voicemail = survey.config.session.voicemail
    if voicemail is not None and voicemail.action == "leave_message" and not (voicemail.text or "").strip():
        message = "A message is to be left on voicemail, and there is no text."
        yield error(("session", "voicemail", "text"), "missing_text", message, "Write the text, or hang up.")
    for agent in survey.agents:
        greeting = agent.node.greeting
        if "mode" in greeting.model_fields_set and greeting.mode == "say" and not (greeting.text or "").strip():
            loc: Loc = (*agent.loc, "greeting", "text")
            message = f"{survey.place(loc)} greets with a text and has none."
            yield warning(loc, "missing_text", message, "Write the text, or set mode to “generate” or “wait”.")


def _telephones(survey: Survey) -> Iterator[Fault]:
    to = survey.config.session.failure.transfer_to
    if to is not None and telephone_address(to) is None:
        loc: Loc = ("session", "failure", "transfer_to")
        message = f"“{to[:80]}” is no telephone number and no SIP address."
        yield error(loc, "transfer_number", message, "Write a number as +15550100, or sip:name@host.")


def _end_tools(survey: Survey) -> Iterator[Fault]:
    for site in survey.resolved(("session", "on_end"), survey.config.session.on_end):
        if site.tool.tool_type != _END_TOOL:
            loc = (*site.loc, "tool_type")
            message = f"{survey.place(loc)} is to run after the call, where only webhooks run."
            yield error(loc, "tool_not_allowed", message, "Use a tool of type “webhook”.")
