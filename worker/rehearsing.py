"""Versions rehearsed in the background, so that the first call already hears what is always said the same."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from runtime.errors import ConfigRefused, PatchbayError, ProviderMissing
from runtime.session.call_session import SystemClock
from runtime.session.ports import CallRow, WorkspaceVariableRow
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.rehearsal import rehearse
from runtime.voice.speech_files import SpeechFiles
from worker.reception import ByHand
from worker.versions import CompiledVersion

__all__ = ["AGAIN_S", "Rehearsals", "Workspace"]

Workspace = Callable[[str], Awaitable[Sequence[WorkspaceVariableRow]]]
"""Returns an organization's variables as stored."""

AGAIN_S: Final = (60.0, 300.0, 1800.0, 7200.0)
"""How long a version waits after each try at which a voice was down; then it is left until it is loaded again."""
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 600.0
_log = structlog.get_logger("rehearsing")


class Rehearsals:
    """Takes versions as they are loaded and rehearses them one by one, while no other process of this home does.

    Those behind it find the recordings on disk. Without a disk to keep them on nothing is rehearsed. A version with a
    voice that is down is tried again after each of `AGAIN_S`, until all of its texts are there.
    """

    def __init__(self, workshop: Workshop, workspace: Workspace, by_hand: ByHand | None = None) -> None:
        self._workshop = workshop
        self._workspace = workspace
        self._by_hand = by_hand
        self._waiting: asyncio.Queue[CompiledVersion] = asyncio.Queue()
        self._tries: dict[str, int] = {}

    def loaded(self, version: CompiledVersion) -> None:
        """Rehearse this version, once."""
        if version.version.id not in self._tries and self._workshop.spoken.files is not None:
            self._tries[version.version.id] = 0
            self._waiting.put_nowait(version)

    async def run(self) -> None:
        """Rehearse what is loaded. Never ends by itself."""
        while True:
            version = await self._waiting.get()
            files = self._workshop.spoken.files
            if files is not None and not await self._rehearse(version, files):
                self._try_again(version)

    def _try_again(self, version: CompiledVersion) -> None:
        version_id = version.version.id
        tried = self._tries.pop(version_id)
        if tried == len(AGAIN_S):
            _log.warning("rehearsal_given_up", version_id=version_id, tries=tried + 1)
            return
        self._tries[version_id] = tried + 1
        asyncio.get_running_loop().call_later(AGAIN_S[tried], self._waiting.put_nowait, version)
        _log.info("rehearsed_again_later", version_id=version_id, in_s=AGAIN_S[tried])

    async def _rehearse(self, version: CompiledVersion, files: SpeechFiles) -> bool:
        """Return False where it is worth another try; calls speak as ever meanwhile, and keep what they say."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while (place := await asyncio.to_thread(files.reserve)) is None:  # noqa: ASYNC110 - another process's lock tells nobody
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            return False
        with place:
            try:
                return await self._speak(version)
            except (ConfigRefused, ProviderMissing) as error:  # no wait mends it: once more when it is loaded again
                self._tries.pop(version.version.id)
                _log.warning("version_not_rehearsed", version_id=version.version.id, reason=error.message)
                return True
            except PatchbayError as error:
                _log.warning("version_not_rehearsed", version_id=version.version.id, reason=error.message)
                return False
            except Exception:  # noqa: BLE001 - an edge: the next version's words are not this one's trouble
                _log.exception("version_not_rehearsed", version_id=version.version.id)
                return True

    async def _speak(self, version: CompiledVersion) -> bool:
        """Return whether every text is there now."""
        began = asyncio.get_running_loop().time()
        providers = self._workshop.providers(await self._ordered(version))
        try:
            done = await rehearse(providers, version.workflow)
        finally:
            await providers.aclose()
        if done.made or done.failed:
            seconds = round(asyncio.get_running_loop().time() - began, 1)
            _log.info(
                "version_rehearsed",
                workflow=version.version.workflow_name,
                version_id=version.version.id,
                texts_made=done.made,
                characters=done.characters,
                texts_known=done.known,
                texts_failed=done.failed,
                seconds=seconds,
            )
        return not done.failed

    async def _ordered(self, version: CompiledVersion) -> Ordered:
        row, own = version.version, self._by_hand
        is_own = own is not None and own.version_id == row.id
        call = CallRow(
            id=str(uuid.uuid4()),  # of no call: what the providers need of it is whose they are
            organization_id=row.organization_id,
            workflow_version_id=row.id,
            channel="phone",
            direction="inbound",
            is_test=True,
            started_at=datetime.now(UTC),
        )
        return Ordered(
            workflow=version.workflow,
            row=call,
            clock=SystemClock(),
            workspace=await self._workspace(row.organization_id),
            stored=not is_own,
            offline=is_own and own is not None and own.offline,
        )
