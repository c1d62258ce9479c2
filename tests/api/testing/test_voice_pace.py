from api.testing.voice_pace import Pace


def test_so_many_pass_in_each_span() -> None:
    now = 100.0
    pace = Pace(2, 10.0, lambda: now)
    assert [pace.allows() for _ in range(4)] == [True, True, False, False]
    now = 109.9
    assert not pace.allows()
    now = 110.0
    assert [pace.allows() for _ in range(3)] == [True, True, False]
