"""What an organization may use up: calls at once, minutes a day, and where its calls may go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from runtime.errors import StoreUnreachable
from runtime.numbers import may_dial, telephone_address
from runtime.session.ports import Limits, OrganizationLoad, Store, Telephone, TransferOutcome
from worker.apology import Sorry
from worker.legs import CallRequest

__all__ = ["GuardedTelephone", "over_limit", "undialable"]

_PATIENCE_S = 1.0
_log = structlog.get_logger("limits")


class GuardedTelephone:
    """A caller's telephone that transfers only to where the organization may call."""

    def __init__(self, telephone: Telephone, limits: Limits) -> None:
        self._telephone = telephone
        self._limits = limits

    async def transfer(self, to: str) -> TransferOutcome:
        """Hand the caller over, unless it is no number, or one that the organization may not dial."""
        address = telephone_address(to)
        if address is None:
            return TransferOutcome(ok=False, why="this is no telephone number and no SIP address")
        if not may_dial(address, self._limits.dial_prefixes):
            return TransferOutcome(ok=False, why="the organization may not dial this number")
        return await self._telephone.transfer(address)

    async def send_keys(self, keys: str) -> str | None:
        return await self._telephone.send_keys(keys)


async def over_limit(store: Store, organization_id: str, limits: Limits, own: Mapping[str, int]) -> Sorry | None:
    """Return why the organization gets no further call, if so; `own` are this process's calls, this one included.

    While the store is away only this process's own calls are counted: a caller is not turned away for a database.
    """
    if limits.max_concurrent_calls is None and limits.max_minutes_a_day is None:
        return None
    load = await _load(store, organization_id)
    # The stored count lags behind by what this process has not written yet.
    running = max(load.active_calls + 1, own.get(organization_id, 0))
    if limits.max_concurrent_calls is not None and running > limits.max_concurrent_calls:
        return _sorry(
            "concurrent_calls", f"The organization has {limits.max_concurrent_calls} calls at once, its limit."
        )
    if limits.max_minutes_a_day is not None and load.minutes_today >= limits.max_minutes_a_day:
        return _sorry(
            "minutes_a_day", f"The organization has used its {limits.max_minutes_a_day} minutes of today (UTC)."
        )
    return None


def undialable(request: CallRequest, limits: Limits) -> Sorry | None:
    """Return why a call may not go out, if so."""
    if request.direction == "inbound" or request.dialled is None or may_dial(request.dialled, limits.dial_prefixes):
        return None
    return _sorry("dial_prefix", "The organization may not dial this number.")


async def _load(store: Store, organization_id: str) -> OrganizationLoad:
    try:
        return await asyncio.wait_for(store.load(organization_id), _PATIENCE_S)
    except (StoreUnreachable, TimeoutError):
        _log.warning("limits_not_checked", organization_id=organization_id)
        return OrganizationLoad(active_calls=0, minutes_today=0.0)


def _sorry(code: str, message: str) -> Sorry:
    return Sorry("limit_reached", "busy", "limits", code, f"{message} See: patchbay organization limit")
