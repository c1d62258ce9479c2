"""Trunks and dispatch rules at a real livekit-server, with Redis and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from livekit.protocol.sip import ListSIPDispatchRuleRequest, ListSIPInboundTrunkRequest

from runtime.errors import Unreachable
from runtime.settings import Settings
from runtime.voice.rooms import open_api
from tests.fakes.livekit_server import AGENT, LiveKitServer, livekit_server
from worker.trunks import provision, unprovision

NUMBER = "+15550100"


async def trunks(settings: Settings) -> list[str]:
    async with open_api(settings) as livekit:
        return [
            trunk.sip_trunk_id for trunk in (await livekit.sip.list_inbound_trunk(ListSIPInboundTrunkRequest())).items
        ]


@pytest.mark.server
async def test_a_number_gets_its_trunk_and_rule_once_and_gives_them_back(tmp_path: Path) -> None:
    with livekit_server(tmp_path, redis=True) as server:
        settings = server.settings()
        made = await provision(settings, NUMBER)
        assert await provision(settings, NUMBER) == made
        other = await provision(settings, "+15550101")
        assert sorted(await trunks(settings)) == sorted([made.trunk_id, other.trunk_id])
        async with open_api(settings) as livekit:
            rules = (await livekit.sip.list_dispatch_rule(ListSIPDispatchRuleRequest())).items
        rule = next(rule for rule in rules if rule.sip_dispatch_rule_id == made.rule_id)
        assert rule.rule.dispatch_rule_individual.room_prefix == "call-"
        assert [agent.agent_name for agent in rule.room_config.agents] == [AGENT]
        assert list(rule.trunk_ids) == [made.trunk_id]
        assert await unprovision(settings, NUMBER) == made
        assert await unprovision(settings, NUMBER) is None
        assert await trunks(settings) == [other.trunk_id]


@pytest.mark.server
async def test_a_server_without_sip_is_told_from_one_that_is_away(livekit: LiveKitServer) -> None:
    with pytest.raises(Unreachable, match="has no SIP: it runs without Redis"):
        await provision(livekit.settings(), NUMBER)


async def test_without_livekit_it_says_what_is_not_set(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET are not set"):
        await provision(Settings.load({"PATCHBAY_HOME": str(tmp_path)}, tmp_path), NUMBER)
