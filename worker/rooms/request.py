"""A job's metadata and a participant's SIP attributes, read as who calls whom."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from pydantic import ValidationError

from runtime.voice.rooms import DispatchMetadata
from worker.legs import CallRequest, Channel

__all__ = ["read_metadata", "request_of"]

_log = structlog.get_logger("rooms")


def read_metadata(text: str, *, room: str) -> DispatchMetadata:
    """Return what a job says about its call; what cannot be read is logged and counts as nothing said."""
    if not text.strip():
        return DispatchMetadata()
    try:
        return DispatchMetadata.model_validate_json(text)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, found['loc'])) or '$'}: {found['msg']}" for found in error.errors()]
        _log.error("dispatch_metadata_unreadable", room=room, faults=faults)
        return DispatchMetadata()


def request_of(
    metadata: DispatchMetadata, *, room: str, attributes: Mapping[str, str] | None = None, sip: bool = False
) -> CallRequest:
    """Return who calls whom. `attributes` are the caller's, and `sip` says that they come from a telephone."""
    attributes = attributes or {}
    dial = metadata.dial
    return CallRequest(
        channel=_channel(metadata, sip=sip or dial is not None),
        direction="outbound" if dial is not None else "inbound",
        caller=dial.to if dial is not None else _given(attributes, "sip.phoneNumber", sip=sip),
        dialled=dial.to if dial is not None else _given(attributes, "sip.trunkPhoneNumber", sip=sip),
        workflow_version_id=metadata.workflow_version_id,
        workflow_id=metadata.workflow_id,
        test_session_id=metadata.test_session_id,
        variables=metadata.variables,
        external_session_id=_given(attributes, "sip.callIDFull", sip=sip) or _given(attributes, "sip.callID", sip=sip),
        room=room,
    )


def _channel(metadata: DispatchMetadata, *, sip: bool) -> Channel:
    if metadata.test_session_id is not None:
        return "voice_test"
    return "phone" if sip else "web"


def _given(attributes: Mapping[str, str], name: str, *, sip: bool) -> str | None:
    """A browser may call its attributes what it likes: only LiveKit SIP's say what a telephone said."""
    return (attributes.get(name) or None) if sip else None
