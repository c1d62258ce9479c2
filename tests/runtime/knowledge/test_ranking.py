"""Words that are worth looking for, and rankings that become one."""

from __future__ import annotations

import pytest

from runtime.knowledge.ranking import CANDIDATES, MOST_TERMS, Hit, choose_terms, fuse


def test_rare_words_weigh_more_and_select() -> None:
    terms = choose_terms({"the": 90_000, "refund": 40, "norway": 3}, 100_000)
    assert terms.lexemes == ("norway", "refund", "the")
    assert terms.rare == ("norway", "refund")
    assert terms.weights[0] > terms.weights[1] > terms.weights[2] > 0
    assert sum(terms.weights) == pytest.approx(1)


def test_what_selects_is_never_more_than_can_be_ranked() -> None:
    terms = choose_terms({f"w{number}": CANDIDATES // 3 for number in range(30)}, 100_000)
    assert (len(terms.lexemes), len(terms.rare)) == (MOST_TERMS, 3)
    assert choose_terms({"a": CANDIDATES + 1}, 10_000).rare == ()


def test_what_both_rankings_find_comes_first_with_its_best_score() -> None:
    words = [Hit(1, 1.0), Hit(2, 0.4)]
    meaning = [Hit(3, 0.9), Hit(2, 0.8)]
    assert fuse(words, meaning, limit=3) == [Hit(2, 0.8), Hit(1, 1.0), Hit(3, 0.9)]
    assert fuse(words, [], limit=1) == [Hit(1, 1.0)]
    assert fuse([], [], limit=4) == []
