"""LiveKit's server as the worker, the command line and the API use it: tokens, dispatch, and one clear error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp
from livekit import api
from livekit.protocol.agent_dispatch import CreateAgentDispatchRequest, RoomAgentDispatch
from livekit.protocol.room import DeleteRoomRequest, ListRoomsRequest, RoomConfiguration
from pydantic import BaseModel, ConfigDict, Field

from runtime.errors import Unreachable
from runtime.settings import Settings

__all__ = [
    "Dial",
    "DispatchMetadata",
    "Server",
    "agent_token",
    "check",
    "delete_room",
    "dispatch",
    "join_token",
    "open_api",
    "reaching",
]

Json = Any

_PATIENCE_S: Final = 10.0
_NEEDED: Final = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
_REFUSED: Final = (401, 403)


class Dial(BaseModel):
    """A call that goes out: `to` is E.164, `trunk_id` LiveKit's outbound trunk, `from_number` what the callee sees."""

    model_config = ConfigDict(frozen=True)

    to: str = Field(min_length=1, max_length=200)
    trunk_id: str = Field(min_length=1, max_length=200)
    from_number: str | None = Field(default=None, max_length=200)
    ringing_s: float = Field(default=30.0, gt=0, le=80)


class DispatchMetadata(BaseModel):
    """What a job says about its call; all of it may be missing, and keys of others are left alone.

    `participant` is the identity of the one the call is with: nobody else is taken for the caller.
    """

    model_config = ConfigDict(frozen=True)

    workflow_version_id: str | None = None
    workflow_id: str | None = None
    test_session_id: str | None = None
    variables: Mapping[str, Json] = Field(default_factory=dict)
    dial: Dial | None = None
    participant: str | None = None

    def to_json(self) -> str:
        """Return it as job metadata: only what is set, and nothing at all as an empty text."""
        text = self.model_dump_json(exclude_defaults=True)
        return "" if text == "{}" else text


@dataclass(frozen=True, slots=True)
class Server:
    """Where LiveKit is, and what opens it."""

    url: str
    api_key: str
    api_secret: str

    @classmethod
    def of(cls, settings: Settings) -> Server:
        """Return the settings' server; raises `Unreachable` with the complete list of what is not set."""
        url, key, secret = settings.livekit_url, settings.livekit_api_key, settings.livekit_api_secret
        if url is None or key is None or secret is None:
            missing = [name for name, value in zip(_NEEDED, (url, key, secret), strict=True) if value is None]
            raise Unreachable(
                f"LiveKit is needed, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                remedy="Set them in the environment or in .env.",
            )
        return cls(url, key.get_secret_value(), secret.get_secret_value())

    def token(self) -> api.AccessToken:
        """Return a token of this server's key that grants nothing yet."""
        return api.AccessToken(self.api_key, self.api_secret)


def join_token(  # noqa: PLR0913 - each but the first three by name
    settings: Settings,
    room: str,
    identity: str,
    *,
    metadata: DispatchMetadata | None = None,
    agent_name: str | None = None,
    keypad: bool = False,
    ttl: timedelta = timedelta(minutes=10),
) -> str:
    """Return a token with which `identity` joins `room`, speaks and listens, presses keys if `keypad`, and no more.

    The room is made when they join, and the agent (`agent_name`, else PATCHBAY_AGENT_NAME) is dispatched into it with
    `metadata` then; the call is with `identity`, whoever else is in the room. `ttl` is how long one may still join.
    """
    meant = (metadata or DispatchMetadata()).model_copy(update={"participant": identity})
    agent = RoomAgentDispatch(agent_name=agent_name or settings.agent_name, metadata=meant.to_json())
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=["microphone"],
        can_subscribe=True,
        can_publish_data=keypad,  # LiveKit knows no smaller right to send keys; an agent reads nothing else of it
        can_update_own_metadata=False,
    )
    token = Server.of(settings).token().with_identity(identity).with_grants(grants).with_ttl(ttl)
    return token.with_room_config(RoomConfiguration(agents=[agent])).to_jwt()


def agent_token(settings: Settings, room: str, identity: str, *, ttl: timedelta = timedelta(minutes=1)) -> str:
    """Return a token with which a worker joins `room` as an agent without having been dispatched into it.

    It may do what the token of a dispatched job may.
    """
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        agent=True,
        can_publish=True,
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=True,
    )
    token = Server.of(settings).token().with_identity(identity).with_kind("agent")
    return token.with_grants(grants).with_ttl(ttl).to_jwt()


async def dispatch(
    settings: Settings, room: str, metadata: DispatchMetadata | None = None, *, agent_name: str | None = None
) -> str:
    """Send the agent into `room`, made where it is missing, and return the dispatch's id; raises `Unreachable`."""
    request = CreateAgentDispatchRequest(
        agent_name=agent_name or settings.agent_name, room=room, metadata=(metadata or DispatchMetadata()).to_json()
    )
    async with open_api(settings) as livekit:
        with reaching(settings):
            return (await livekit.agent_dispatch.create_dispatch(request)).id


async def delete_room(settings: Settings, room: str) -> None:
    """Send everybody out of `room` and delete it; one that is not there is deleted already. Raises `Unreachable`."""
    async with open_api(settings) as livekit:
        with reaching(settings):
            try:
                await livekit.room.delete_room(DeleteRoomRequest(room=room))
            except api.ServerError as error:
                if error.status != 404:
                    raise


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[api.LiveKitAPI]:
    """Yield a client of the server's API; raises `Unreachable` where LIVEKIT_* is not set. Wrap calls in `reaching`."""
    server = Server.of(settings)
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret, timeout=timeout) as livekit:
        yield livekit


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """Turn what a request to the server may raise into `Unreachable`, naming the URL and what to check."""
    try:
        yield
    except api.ServerError as error:
        raise _refusal(settings.livekit_url, error) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(
            f"LiveKit does not answer at {settings.livekit_url}: {_said(error)}.",
            remedy="Check LIVEKIT_URL, and that the server runs and can be reached from here.",
        ) from None


async def check(settings: Settings) -> None:
    """Ask the server for nothing in particular; raises `Unreachable` where it is away or does not know the key."""
    async with open_api(settings) as livekit:
        with reaching(settings):
            await livekit.room.list_rooms(ListRoomsRequest(names=["patchbay-is-there-anybody"]))


def _refusal(url: str | None, error: api.ServerError) -> Unreachable:
    if error.status in _REFUSED:
        return Unreachable(
            f"LiveKit at {url} refuses LIVEKIT_API_KEY and LIVEKIT_API_SECRET (HTTP {error.status}).",
            remedy="Check that both belong to this server (keys in its configuration, or the project's settings page).",
        )
    return Unreachable(
        f"LiveKit at {url} cannot do it: {error.message or error.code} (HTTP {error.status}).",
        remedy="Check that LIVEKIT_URL is a LiveKit server, and read its log.",
    )


def _said(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
