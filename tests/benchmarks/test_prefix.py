"""What a model has read once stays as it was for as long as the call is at one agent."""

from __future__ import annotations

import json
from itertools import pairwise

from benchmarks.prefix import Request, played, shares


def settled(request: Request) -> int:
    """Return how many messages stand before those of the last turn and the note on how things stand."""
    roles = [json.loads(each)["role"] for each in request.messages]
    last = max(at for at, role in enumerate(roles) if role == "user")
    return last - (roles[last - 1] == "system" and last > 1)


async def test_within_an_agent_all_before_the_last_turn_is_the_same_to_the_byte() -> None:
    requests = await played()
    within = [(before, now) for before, now in pairwise(requests) if before.agent == now.agent]
    assert len(within) >= 6
    assert len({request.agent for request in requests}) >= 2
    for before, now in within:
        assert now.tools == before.tools
        count = settled(before)
        assert now.messages[:count] == before.messages[:count]
    assert any("# What is known" in each for request in requests for each in request.messages[1:])
    assert not any("# What is" in request.messages[0] for request in requests)


async def test_the_share_of_a_request() -> None:
    first = Request("a", "tools", ("one two", "three"))
    second = Request("a", "tools", ("one two", "four five six"))
    other = Request("b", "none", ("one two",))
    found = list(shares([first, second, second, other]))
    assert 0 < found[0][0] < 1
    assert found[1:] == [(1.0, True), (0.0, False)]
