"""Tokens with which the callers of a load test join rooms of their own, the worker's agent dispatched into each."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from runtime.harness.load.briefing import Order
from runtime.harness.load.plan import Target
from runtime.settings import Settings
from runtime.voice.rooms import DispatchMetadata, Server, join_token

__all__ = ["Invitations"]

_TTL: Final = timedelta(minutes=10)


class Invitations:
    """Makes the order of each call of a test; rooms are named `load-<run>-<number>`."""

    def __init__(self, settings: Settings, target: Target, *, agent_name: str | None = None) -> None:
        self._settings = settings
        self._target = target
        self._agent_name = agent_name or settings.agent_name
        self.run = uuid.uuid4().hex[:8]

    @property
    def telephone(self) -> bool:
        """Whether the callers come as telephones do."""
        return self._target.dialled is not None

    def order(self, number: int) -> Order:
        """Return what the caller of the `number`-th call needs."""
        room = f"load-{self.run}-{number}"
        return Order(number, room, self._telephones(room, number) if self.telephone else self._browsers(room))

    def _metadata(self) -> DispatchMetadata:
        target = self._target
        return DispatchMetadata(
            workflow_id=target.workflow_id,
            workflow_version_id=target.version_id,
            test_session_id=str(uuid.uuid4()) if target.as_tests else None,
        )

    def _browsers(self, room: str) -> str:
        return join_token(
            self._settings,
            room,
            "caller",
            metadata=self._metadata(),
            agent_name=self._agent_name,
            keypad=True,
            ttl=_TTL,
        )

    def _telephones(self, room: str, number: int) -> str:
        """As livekit-sip's participant: its kind, identity and attributes. 999 is no country's code."""
        caller = f"+999{number:09d}"
        identity = f"sip_{caller}"
        attributes = {
            "sip.callID": f"SCL_{self.run}{number}",
            "sip.callIDFull": f"{self.run}-{number}@patchbay-load",
            "sip.callStatus": "ringing",
            "sip.phoneNumber": caller,
            "sip.trunkPhoneNumber": self._target.dialled or "",
            "sip.trunkID": "ST_load",
            "sip.ruleID": "SDR_load",
        }
        grants = api.VideoGrants(room_join=True, room=room, can_publish_data=True, can_update_own_metadata=True)
        meant = self._metadata().model_copy(update={"participant": identity})
        agent = RoomAgentDispatch(agent_name=self._agent_name, metadata=meant.to_json())
        token = Server.of(self._settings).token().with_identity(identity).with_kind("sip").with_attributes(attributes)
        return token.with_grants(grants).with_ttl(_TTL).with_room_config(RoomConfiguration(agents=[agent])).to_jwt()
