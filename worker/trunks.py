"""A telephone number at LiveKit's SIP service: its inbound trunk, and the rule that sends the agent to its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration
from livekit.protocol.sip import (
    CreateSIPDispatchRuleRequest,
    CreateSIPInboundTrunkRequest,
    DeleteSIPDispatchRuleRequest,
    DeleteSIPTrunkRequest,
    ListSIPDispatchRuleRequest,
    ListSIPInboundTrunkRequest,
    SIPDispatchRule,
    SIPDispatchRuleIndividual,
    SIPDispatchRuleInfo,
    SIPInboundTrunkInfo,
)

from runtime.errors import Unreachable
from runtime.settings import Settings
from runtime.voice.rooms import open_api, reaching

__all__ = ["PREFIX", "Provisioned", "provision", "unprovision"]

PREFIX: Final = "call-"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """LiveKit's ids of what a number has there."""

    trunk_id: str
    rule_id: str


async def provision(settings: Settings, number: str) -> Provisioned:
    """Let LiveKit SIP take calls to `number` (E.164) and dispatch PATCHBAY_AGENT_NAME, each into a room of its own.

    What is there already is used, so that it may be called again. Raises `Unreachable`.
    """
    async with _sip(settings) as sip:
        trunk = await _trunk(sip, number) or await sip.create_inbound_trunk(
            CreateSIPInboundTrunkRequest(trunk=SIPInboundTrunkInfo(name=_name(number), numbers=[number]))
        )
        rule = await _rule(sip, trunk.sip_trunk_id, settings.agent_name) or await sip.create_dispatch_rule(
            _new_rule(number, trunk.sip_trunk_id, settings.agent_name)
        )
        return Provisioned(trunk.sip_trunk_id, rule.sip_dispatch_rule_id)


async def unprovision(settings: Settings, number: str) -> Provisioned | None:
    """Take back what `provision` made, and return what it was; a trunk of another name is somebody else's and stays."""
    async with _sip(settings) as sip:
        trunk = await _trunk(sip, number)
        if trunk is None:
            return None
        rule = await _rule(sip, trunk.sip_trunk_id, settings.agent_name)
        if rule is not None and rule.name == _name(number):
            await sip.delete_dispatch_rule(DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule.sip_dispatch_rule_id))
        if trunk.name == _name(number):
            await sip.delete_trunk(DeleteSIPTrunkRequest(sip_trunk_id=trunk.sip_trunk_id))
        return Provisioned(trunk.sip_trunk_id, rule.sip_dispatch_rule_id if rule is not None else "")


def _name(number: str) -> str:
    return f"patchbay {number}"


async def _trunk(sip: api.sip_service.SipService, number: str) -> SIPInboundTrunkInfo | None:
    found = await sip.list_inbound_trunk(ListSIPInboundTrunkRequest(numbers=[number]))
    return next((trunk for trunk in found.items if number in trunk.numbers), None)


async def _rule(sip: api.sip_service.SipService, trunk_id: str, agent_name: str) -> SIPDispatchRuleInfo | None:
    found = await sip.list_dispatch_rule(ListSIPDispatchRuleRequest(trunk_ids=[trunk_id]))
    return next((rule for rule in found.items if trunk_id in rule.trunk_ids and _sends(rule, agent_name)), None)


def _sends(rule: SIPDispatchRuleInfo, agent_name: str) -> bool:
    return any(agent.agent_name == agent_name for agent in rule.room_config.agents)


def _new_rule(number: str, trunk_id: str, agent_name: str) -> CreateSIPDispatchRuleRequest:
    return CreateSIPDispatchRuleRequest(
        dispatch_rule=SIPDispatchRuleInfo(
            name=_name(number),
            trunk_ids=[trunk_id],
            rule=SIPDispatchRule(dispatch_rule_individual=SIPDispatchRuleIndividual(room_prefix=PREFIX)),
            room_config=RoomConfiguration(agents=[RoomAgentDispatch(agent_name=agent_name)]),
        )
    )


@asynccontextmanager
async def _sip(settings: Settings) -> AsyncIterator[api.sip_service.SipService]:
    async with open_api(settings) as livekit:
        with reaching(settings):
            try:
                yield livekit.sip
            except api.ServerError as error:
                if "sip not connected" in error.message:
                    raise _without_sip(settings) from None
                raise


def _without_sip(settings: Settings) -> Unreachable:
    return Unreachable(
        f"LiveKit at {settings.livekit_url} has no SIP: it runs without Redis, through which livekit-sip is reached.",
        remedy="Give livekit-server and livekit-sip the same `redis:` in their configuration.",
    )
