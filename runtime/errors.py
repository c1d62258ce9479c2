"""What can go wrong, as a tree; each error names the place and the remedy.

PatchbayError
├── UsageFault            wrong usage, or input that cannot be opened         (exit code 2)
├── ConfigRefused         a workflow's config has faults                       (exit code 1)
├── CallFailed            the call or test that was asked for ended in error   (exit code 1)
├── NotFound              no such workflow, version, session, …                (exit code 1)
└── Unreachable           a part that is needed cannot be reached              (exit code 3)
    ├── StoreUnreachable  the database
    └── ProviderMissing   a provider's plugin, package or key
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CallFailed",
    "ConfigRefused",
    "NotFound",
    "PatchbayError",
    "ProviderMissing",
    "StoreUnreachable",
    "Unreachable",
    "UsageFault",
]


class PatchbayError(Exception):
    """Anything Patchbay reports to a person: what is wrong and what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageFault(PatchbayError):
    """The command was used wrongly, or its input cannot be opened."""

    exit_code = 2


class ConfigRefused(PatchbayError):
    """A workflow's config has faults of severity `error`; `faults` lists every one of them."""

    def __init__(self, message: str, *, faults: tuple[object, ...] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.faults = faults


class CallFailed(PatchbayError):
    """The call that was asked for ended in error."""


class NotFound(PatchbayError):
    """The workflow, version or session that was named does not exist."""


class Unreachable(PatchbayError):
    """A part that is needed cannot be reached."""

    exit_code = 3


class StoreUnreachable(Unreachable):
    """The database is away, refuses us, or has a schema this release does not know."""


class ProviderMissing(Unreachable):
    """A speech or model provider lacks its plugin, its package or its key."""
