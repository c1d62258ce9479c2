"""Scripts: one step a line, and a message with the line's number where it is none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageFault
from runtime.harness.script import Dtmf, Hangup, Interrupt, Say, Silence, Step, parse_script


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("I have a question about my invoice", Say("I have a question about my invoice")),
        ("  my number is 4271  ", Say("my number is 4271")),
        ("ça va? 你好", Say("ça va? 你好")),
        ("number # nine", Say("number # nine")),
        ("[dtmf 1234#]", Dtmf("1234#")),
        ("[DTMF *09ad]", Dtmf("*09AD")),
        ("[silence 8]", Silence(8.0)),
        ("[ silence  0.25 ]", Silence(0.25)),
        ("[interrupt 0.6] stop please", Interrupt(0.6, "stop please")),
        ("[interrupt 0] [no] way", Interrupt(0.0, "[no] way")),
        ("[hangup]", Hangup()),
    ],
)
def test_a_step_a_line(line: str, step: Step) -> None:
    assert parse_script(line) == (step,)


def test_comments_empty_lines_and_line_ends_of_any_kind() -> None:
    text = "\ufeff# a caller\r\n\r\nHello\r  # indented\n\t\nBye\r\n[hangup]"
    assert parse_script(text) == (Say("Hello"), Say("Bye"), Hangup())


def test_an_empty_script_has_no_steps() -> None:
    assert parse_script("") == ()


@pytest.mark.parametrize(
    "line",
    [
        "[dtmf]",
        "[dtmf 12x]",
        "[dtmf 1 2]",
        "[dtmf 12] and so on",
        "[dtmf 12",
        "[silence]",
        "[silence soon]",
        "[silence -1]",
        "[silence nan]",
        "[silence 1e9]",
        "[silence 86401]",
        "[silence ٣]",
        "[silence 8] hello",
        "[interrupt 0.6]",
        "[interrupt] stop",
        "[hangup now]",
        "[hangup] bye",
        "[laughs] hello",
        "[]",
        "[",
    ],
)
def test_what_is_no_step_names_the_line_and_an_example(line: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_script(f"Hello\n\n{line}", "calls/a.txt")
    assert caught.value.message.startswith("calls/a.txt cannot be played:\n  line 3: ")
    assert "[" in caught.value.message.split("line 3: ")[1]
    assert caught.value.exit_code == 2


def test_an_unknown_step_lists_what_there_is() -> None:
    with pytest.raises(UsageFault, match=r"interrupt 0\.6") as caught:
        parse_script("[pause 3]")
    for step in ("[dtmf", "[silence", "[interrupt", "[hangup]"):
        assert step in caught.value.message


def test_every_wrong_line_is_listed_at_once() -> None:
    with pytest.raises(UsageFault) as caught:
        parse_script("[a]\nhello\n[b]")
    assert [line.split(":")[0].strip() for line in caught.value.message.splitlines()[1:]] == ["line 1", "line 3"]


@given(st.text())
def test_any_text_is_steps_or_one_message(text: str) -> None:
    with suppress(UsageFault):
        assert all(isinstance(step, Step) for step in parse_script(text))


@given(st.lists(st.sampled_from([Say("hi there"), Dtmf("12#"), Silence(2.5), Interrupt(0.5, "stop"), Hangup()])))
def test_what_is_written_is_what_is_played(steps: list[Step]) -> None:
    assert list(parse_script("\n".join(written(step) for step in steps))) == steps


def written(step: Step) -> str:
    match step:
        case Say(text):
            return text
        case Dtmf(keys):
            return f"[dtmf {keys}]"
        case Silence(seconds):
            return f"[silence {seconds}]"
        case Interrupt(after_s, text):
            return f"[interrupt {after_s}] {text}"
        case Hangup():
            return "[hangup]"
