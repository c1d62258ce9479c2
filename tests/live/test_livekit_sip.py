"""The telephone's calls once more, through livekit-sip and a room in place of the worker's own line."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.fakes.databases import Databases
from tests.fakes.livekit_sip import WHY_NOT, sip_binary, working_through_sip
from tests.live.conftest import OpenDesk
from tests.live.test_phone_calls import (  # noqa: F401 - collected here with this file's `open_desk`
    test_a_caller_goes_through_two_agents_and_gives_a_number_by_keypad,
    test_a_caller_who_wants_a_moment_is_left_alone,
    test_a_goodbye_is_heard_to_its_end_and_reopened_once,
    test_silence_is_asked_about_and_ends_the_call,
    test_stop_silences_the_agent_at_once,
)
from tests.live.test_phone_routing import (  # noqa: F401 - as above
    test_a_publish_counts_for_the_next_call_and_leaves_the_running_one,
    test_an_organization_at_its_limit_says_so,
    test_whoever_cannot_be_answered_hears_why_in_words,
)
from tests.live.test_phone_transfers import (  # noqa: F401 - as above
    test_a_caller_is_put_through_by_a_path,
    test_a_transfer_that_fails_leaves_the_caller_with_the_agent,
)

pytestmark = [pytest.mark.live, pytest.mark.skipif(sip_binary() is None, reason=WHY_NOT)]


@pytest.fixture
async def open_desk(databases: Databases, tmp_path: Path, warmed: None) -> OpenDesk:
    """A worker in rooms, rung through livekit-sip."""
    return partial(working_through_sip, await databases.migrated(), tmp_path)
