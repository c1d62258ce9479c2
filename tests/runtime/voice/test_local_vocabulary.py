"""What the recogniser listens for, and how words sound that no dictionary has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.voice.local.pronunciation import pronunciations, sound_out
from runtime.voice.local.vocabulary import vocabulary


class TestVocabulary:
    def test_same_content_is_made_once(self) -> None:
        first = vocabulary(["Check my order, please!"], ["Alice"])
        assert vocabulary(["check my  ORDER please"], ["alice"]) is first
        assert vocabulary(["check my order"], ["alice"]).key != first.key

    @pytest.mark.parametrize("word", ["invoice", "four", "oh", "yes", "tuesday", "march", "third", "z", "zimmerman"])
    def test_what_is_always_or_by_request_in_it(self, word: str) -> None:
        dictionary = vocabulary(["about my invoice"], ["Zimmerman"]).dictionary
        assert word in {line.split()[0] for line in dictionary.splitlines()}

    def test_every_word_of_the_model_is_in_the_dictionary(self) -> None:
        made = vocabulary(["order 4271 from qqzt"], ["patchbay"])
        known = {line.split()[0] for line in made.dictionary.splitlines()} | {"<s>", "</s>"}
        unigrams = made.language_model.split("\\1-grams:")[1].split("\\2-grams:")[0].split("\n")
        assert {line.split()[1] for line in unigrams if line.strip()} <= known

    def test_what_cannot_be_sounded_is_left_out_and_told(self) -> None:
        assert vocabulary(["hello 你好"]).left_out == ("你好",)

    def test_nothing_given_still_hears_numbers(self) -> None:
        assert "seven S EH V AH N" in vocabulary().dictionary


class TestPronunciation:
    @pytest.mark.parametrize(
        ("word", "phones"),
        [
            ("billing", "B IH L IH NG"),
            ("patchbay", "P AE CH B EY"),
            ("fnord", "F N AO R D"),
            ("zorble", "Z AO R B AH L"),
            ("quixy", "K W IH K S IY"),
        ],
    )
    def test_of_words_known_joined_and_unknown(self, word: str, phones: str) -> None:
        assert pronunciations([word])[word][0] == phones

    def test_final_t_may_be_a_flap(self) -> None:
        assert pronunciations(["it"])["it"] == ("IH T", "IH D") or "IH D" in pronunciations(["it"])["it"]

    @given(
        st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12).filter(
            lambda word: set(word) - set("e")
        )
    )
    def test_every_word_of_letters_has_a_sound(self, word: str) -> None:
        assert sound_out(word)
