"""Text as it is spoken."""

from __future__ import annotations

import pytest

from runtime.voice.local.wording import spell_numbers, words_of


class TestWording:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("My ID is 4271.", "my id is four two seven one"),
            ("I have 12 orders, 3 late!", "i have twelve orders three late"),
            ("the 3rd of May, the 21st, the 20th", "the third of may the twenty first the twentieth"),
            ("07", "zero seven"),
            ("12.50", "twelve point fifty"),
            ("it’s O'Neill", "it's o'neill"),
            ("bob@acme.example", "bob at acme dot example"),
            ("+1 555", "plus one five five five"),
            ("", ""),
            ("…!?", ""),
        ],
    )
    def test_words(self, text: str, words: str) -> None:
        assert " ".join(words_of(text)) == words

    @pytest.mark.parametrize(
        ("text", "spelled"),
        [
            ("My ID is 4271.", "My ID is four two seven one."),
            ("07, 12 and 365", "zero seven, 12 and three six five"),
            ("+15550", "+one five five five zero"),
            ("$12.50 or 1,200 at 15:30", "$12.50 or 1,200 at 15:30"),
            ("Hello, Bob!", "Hello, Bob!"),
        ],
    )
    def test_only_long_numbers_are_spelled(self, text: str, spelled: str) -> None:
        assert spell_numbers(text) == spelled
