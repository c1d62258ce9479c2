"""What a line orders of its host and what the host reports, as two closed unions and their JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar

from worker.phone.wire import WireFault

__all__ = [
    "Answer",
    "CallReport",
    "Closed",
    "Dial",
    "Done",
    "Established",
    "Flush",
    "HangUp",
    "Invited",
    "KeyPressed",
    "Listening",
    "Logged",
    "NotListening",
    "Order",
    "Ping",
    "Refuse",
    "Report",
    "Ringing",
    "SendKeys",
    "Start",
    "Transfer",
    "order_of",
    "report_of",
    "told",
]

Json = Any
Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class Start:
    """The first order: `listen` is ADDRESS:PORT, `interface` the address to bind and route from (None: as routed)."""

    listen: str
    interface: str | None
    max_calls: int | None
    first_rtp_port: int
    last_rtp_port: int
    rtp_timeout_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    call: int


@dataclass(frozen=True, slots=True)
class Refuse:
    call: int


@dataclass(frozen=True, slots=True)
class HangUp:
    call: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Drop the sound of this call that has not been sent."""

    call: int


@dataclass(frozen=True, slots=True)
class Dial:
    """Call `uri` as `caller` at `domain`; `proxy` is where the INVITE goes, None: where the URI says.

    `call` is the number it is to have, so that what is reported of it has a leg to go to from the first moment.
    """

    ask: int
    call: int
    uri: str
    caller: str
    domain: str
    proxy: str | None
    username: str | None
    password: str


@dataclass(frozen=True, slots=True)
class SendKeys:
    ask: int
    call: int
    keys: str


@dataclass(frozen=True, slots=True)
class Transfer:
    ask: int
    call: int
    uri: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Is the SIP thread alive? A host that does not answer is not."""

    ask: int


Order: TypeAlias = Start | Answer | Refuse | HangUp | Flush | Dial | SendKeys | Transfer | Ping


@dataclass(frozen=True, slots=True)
class Listening:
    pass


@dataclass(frozen=True, slots=True)
class NotListening:
    why: str


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody rings. The headers are as they came: untrusted, but bounded."""

    call: int
    call_id: str
    sender: str
    recipient: str
    asserted: str


@dataclass(frozen=True, slots=True)
class Ringing:
    """The other side of a call that goes out is rung."""

    call: int


@dataclass(frozen=True, slots=True)
class Established:
    call: int
    call_id: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The call is over; `why` is the stack's text: a status line, or the words of an errno."""

    call: int
    why: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    call: int
    key: str


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the order that asked: `status` is a SIP status."""

    ask: int
    ok: bool = True
    status: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the host's log; `level` is error, warning or info."""

    level: str
    text: str


CallReport: TypeAlias = Ringing | Established | KeyPressed | Closed  # what happens in a call that has a leg
Report: TypeAlias = Listening | NotListening | Invited | CallReport | Done | Logged

_ORDERS: Mapping[str, Callable[..., Order]] = {
    kind.__name__: kind for kind in (Start, Answer, Refuse, HangUp, Flush, Dial, SendKeys, Transfer, Ping)
}
_REPORTS: Mapping[str, Callable[..., Report]] = {
    kind.__name__: kind
    for kind in (Listening, NotListening, Invited, Ringing, Established, Closed, KeyPressed, Done, Logged)
}


def told(message: Order | Report) -> dict[str, Json]:
    """Return the JSON form of an order or a report."""
    return {"is": type(message).__name__} | asdict(message)


def order_of(said: Mapping[str, Json]) -> Order:
    """Return the order; raises WireFault where it is none."""
    return _read(_ORDERS, said)


def report_of(said: Mapping[str, Json]) -> Report:
    """Return the report; raises WireFault where it is none."""
    return _read(_REPORTS, said)


def _read(kinds: Mapping[str, Callable[..., Message]], said: Mapping[str, Json]) -> Message:
    fields = dict(said)
    name = str(fields.pop("is", None))
    if name not in kinds:
        raise WireFault(f"a message {name!r} that nobody knows")
    try:
        return kinds[name](**fields)
    except TypeError as error:
        raise WireFault(f"a message {name!r} with other fields: {error}") from None
