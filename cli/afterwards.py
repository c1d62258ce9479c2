"""What is done after a test call, as after any other: its analysis and its webhooks, told on stderr."""

from __future__ import annotations

from cli.output import hint, plain
from runtime.errors import PatchbayError
from runtime.session.outbox_ports import DeliveryRow
from runtime.session.ports import Store
from runtime.settings import Settings
from runtime.store.secrets import Keyring
from runtime.voice.composing import Ordered, Workshop
from tools.calls import after_call

__all__ = ["follow_up"]


async def follow_up(store: Store, keyring: Keyring, settings: Settings, workshop: Workshop, ordered: Ordered) -> None:
    """Have the call analysed and send its webhooks once; what does not arrive is left to a worker or to `patchbay webhooks`."""
    try:
        deliveries = await after_call(store, keyring, settings, workshop, ordered)
        if deliveries is None:
            return
        _tell_analysis((await store.call(ordered.row.id)).analysis)
    except PatchbayError as error:
        hint(f"After the call: {error.message}")
        return
    for delivery in deliveries:
        hint(_told(delivery))


def _tell_analysis(analysis: object) -> None:
    if not isinstance(analysis, dict):
        return
    if analysis.get("error_code"):
        hint(f"Analysis: {analysis['error_code']}")
        return
    if analysis.get("outcome"):
        hint(f"Outcome: {plain(str(analysis['outcome']))}")
    if analysis.get("summary"):
        hint(f"Summary: {plain(str(analysis['summary']))}")
    for name, value in (analysis.get("fields") or {}).items():
        hint(f"  {plain(str(name))} = {plain(str(value))}")


def _told(delivery: DeliveryRow) -> str:
    name = plain(delivery.name)
    if delivery.status == "delivered":
        return f"Webhook {name}: delivered" + ("" if delivery.last_status else " (mocked)")
    why = delivery.last_error or (f"status {delivery.last_status}" if delivery.last_status else "not yet")
    left = "given up" if delivery.status == "dead" else "it is tried again"
    return f"Webhook {name}: {why}; {left}. See: patchbay webhooks show {delivery.id[:8]}"
