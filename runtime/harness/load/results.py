"""What is measured at the callers' end of a load test; plain values that go through a pipe as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = [
    "BargeIn",
    "CallReport",
    "Failure",
    "FailureCode",
    "Keys",
    "ProcessReport",
    "Sound",
    "Stage",
    "Utterance",
]

FailureCode = Literal["not_connected", "not_answered", "unanswered", "ended_early", "caller_lost", "ended_in_error"]
Stage = Literal["dialling", "talking"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call did not pass; `message` is for people."""

    code: FailureCode
    message: str


@dataclass(frozen=True, slots=True)
class BargeIn:
    """An interruption: from the caller's first sound to the agent's last, in seconds.

    `stop_s` is None where the agent had finished before the caller began; `yielded`: it stopped because of the caller,
    not at its own end after them.
    """

    stop_s: float | None
    yielded: bool = False


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a caller said: when (seconds since the test began), and what came back.

    `response_s` is from the last sample of the caller's voice to the first sound of the agent; None where none came, or
    where the agent had begun before the caller was done (`talked_over`).
    """

    step: int
    text: str
    began_s: float
    ended_s: float
    response_s: float | None = None
    talked_over: bool = False
    barge_in: BargeIn | None = None

    @property
    def answered(self) -> bool:
        return self.response_s is not None or self.talked_over


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that were pressed, and the time from the last of them to the agent's next sound, if one came soon."""

    step: int
    keys: str
    at_s: float
    response_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """The agent's sound as it arrived.

    `concealed` is the share of its audible samples that had to be made up because packets came late or not at all;
    `gaps` are pauses of over 100 ms in the arrival of frames at the caller, of which `longest_gap_ms` is the longest.
    """

    heard_s: float = 0.0
    concealed: float = 0.0
    packets: int = 0
    packets_lost: int = 0
    jitter_ms: float = 0.0
    gaps: int = 0
    longest_gap_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call. `answered_s` is from dialling to the agent's track, `first_sound_s` to its first sound; seconds."""

    number: int
    room: str
    process: int
    began_s: float
    ended_s: float
    answered_s: float | None = None
    first_sound_s: float | None = None
    utterances: tuple[Utterance, ...] = ()
    keys: tuple[Keys, ...] = ()
    sound: Sound = field(default_factory=Sound)
    ended_by: Literal["caller", "agent"] = "caller"
    failure: Failure | None = None

    def since(self, beginning: float) -> CallReport:
        """Return it with its moments counted from `beginning`, and rounded to a millisecond."""

        def told(moment: float) -> float:
            return round(moment - beginning, 3)

        return replace(
            self,
            began_s=told(self.began_s),
            ended_s=told(self.ended_s),
            answered_s=_rounded(self.answered_s),
            first_sound_s=_rounded(self.first_sound_s),
            utterances=tuple(
                replace(
                    each, began_s=told(each.began_s), ended_s=told(each.ended_s), response_s=_rounded(each.response_s)
                )
                for each in self.utterances
            ),
            keys=tuple(replace(each, at_s=told(each.at_s), response_s=_rounded(each.response_s)) for each in self.keys),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What a process full of callers took: its CPU time, its largest size, and how late its event loop was (p99)."""

    process: int
    calls: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    late_p99_ms: float
