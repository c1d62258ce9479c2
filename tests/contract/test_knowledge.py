"""Knowledge in a real Postgres: added, replaced, embedded, searched, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from runtime.errors import NotFound, StoreUnreachable, Unreachable, UsageFault
from runtime.knowledge import searching
from runtime.knowledge.documents import Document, read_document
from runtime.knowledge.library import Library
from runtime.knowledge.outline import Part
from runtime.knowledge.rows import Added
from runtime.knowledge.searching import OrganizationKnowledge, Searcher
from runtime.store.postgres import PostgresStore
from runtime.tasks import spawn
from tests.fakes.databases import Databases
from tests.fakes.embedding import TopicModel

pytestmark = pytest.mark.server

TEXTS = {
    "refunds.txt": "Refunds are paid within fourteen days of receiving the returned goods.",
    "hours.txt": "The shop is open Monday to Friday from nine to six, and on Saturdays until two.",
    "parcels.txt": "Parcels are shipped in two to four days. Norway takes a week. Deliveries need an adult.",
}
GERMAN = (
    "Die Mitgliedschaft kann mit einer Frist von vier Wochen gekündigt werden. Wer nicht kündigt, bleibt für ein "
    "weiteres Jahr dabei, und die Gebühr wird von dem Konto abgebucht, das bei der Anmeldung genannt wurde."
)


def document(name: str, text: str) -> Document:
    return Document(name, name.partition(".")[0], "text/plain", f"{abs(hash(text)):064x}"[:64], (Part("", text),))


@dataclass
class House:
    """An organization with its library, and what searches it with the model in force."""

    store: PostgresStore
    organization_id: str
    model: TopicModel | None = None

    @property
    def library(self) -> Library:
        return Library(self.store, self.organization_id, self.model)

    def knowledge(self) -> OrganizationKnowledge:
        return Searcher(self.store, self.model).of(self.organization_id)

    async def add_all(self, base: str = "shop") -> None:
        for name, text in TEXTS.items():
            await self.library.add(base, document(name, text))
        await self.library.count_words(base)

    async def found(self, query: str, *bases: str, limit: int = 5) -> list[str]:
        return [each.document for each in await self.knowledge().search(bases or ("shop",), query, limit=limit)]


@pytest.fixture
async def store(databases: Databases) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(await databases.migrated())
    yield store
    await store.aclose()


@pytest.fixture
async def house(store: PostgresStore) -> House:
    return House(store, (await store.ensure_organization("Acme")).id)


@pytest.fixture
async def embedded(house: House) -> House:
    house.model = TopicModel()
    await house.add_all()
    return house


async def test_a_question_finds_what_shares_its_words(house: House) -> None:
    await house.add_all()
    assert (await house.found("When do you refund me, and how does that work in detail?"))[0] == "refunds"
    assert (await house.found("are you open on a saturday"))[0] == "hours"
    assert await house.found("do you have parrots") == []
    assert await house.found("what is it") == []
    assert await house.found("   ") == []
    assert await house.found("hours") == ["hours"]  # its title
    passage = (await house.knowledge().search(["shop"], "delivery to Norway"))[0]
    assert (passage.knowledge_base, passage.document, passage.chunk, passage.place) == ("shop", "parcels", 1, "")
    assert passage.text == TEXTS["parcels.txt"]
    assert passage.score == 1.0
    assert len(await house.found("refund open parcel", limit=2)) == 2


@pytest.mark.parametrize("query", ["'", "a & | !", "\\", "kb:", "\x00\ud800", "x" * 5000, "O'Brien's :* <-> refund"])
async def test_no_question_breaks_a_search(house: House, query: str) -> None:
    await house.add_all()
    await house.found(query)


async def test_a_language_is_guessed_or_given(house: House) -> None:
    await house.library.add("de", document("de.txt", GERMAN))
    await house.library.add("none", document("parts.txt", "XJ-4 KV-9 TT-1"))
    await house.library.add("fr", document("fr.txt", "Bonjour"), language="french")
    assert {base.name: base.language for base in await house.library.bases()} == {
        "de": "german",
        "none": "simple",
        "fr": "french",
    }
    assert await house.found("Welche Gebühren gibt es?", "de") == ["de"]
    assert await house.found("Was ist TT-1?", "de", "none") != []
    with pytest.raises(UsageFault, match="klingon") as caught:
        await house.library.add("x", document("a.txt", "a"), language="klingon")
    assert "german" in caught.value.remedy
    with pytest.raises(UsageFault, match="is german"):
        await house.library.add("de", document("a.txt", "a"), language="english")


async def test_a_document_of_the_same_name_takes_the_place(house: House) -> None:
    first = await house.library.add("shop", document("a.txt", "Refunds take a week."))
    same = await house.library.add("shop", document("a.txt", "Refunds take a week."))
    other = await house.library.add("shop", document("a.txt", "Parrots cost nothing."))
    assert [each.status for each in (first, same, other)] == ["added", "unchanged", "replaced"]
    assert first.document.id == other.document.id
    assert await house.found("refunds") == []
    assert await house.found("parrots") == ["a"]
    (row,) = await house.library.documents("shop")
    assert (row.name, row.characters, row.chunks, row.media_type) == ("a.txt", 21, 1, "text/plain")


async def test_files_are_searched_by_their_headings(house: House, tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("# Guide\nHello.\n## Cancelling\nSend a letter.\n## Paying\nSend money.\n")
    await house.library.add("shop", read_document(tmp_path / "guide.md"))
    passage = (await house.knowledge().search(["shop"], "how can I cancel"))[0]
    assert (passage.document, passage.place, passage.text) == ("Guide", "Guide › Cancelling", "Send a letter.")


async def test_a_document_or_a_base_is_removed(house: House) -> None:
    await house.add_all()
    await house.library.remove("shop", "hours.txt")
    assert await house.found("open saturday") == []
    with pytest.raises(NotFound, match=r"hours\.txt") as caught:
        await house.library.remove("shop", "hours.txt")
    assert "parcels.txt, refunds.txt" in caught.value.remedy
    await house.library.remove("shop")
    for work in (house.library.remove("shop"), house.library.documents("shop"), house.found("x")):
        with pytest.raises(NotFound, match="shop"):
            await work
    assert await house.store.fetch("select from knowledge_chunk") == []


async def test_what_is_nearly_everywhere_does_not_drown_what_is_rare(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.knowledge.ranking.CANDIDATES", 5)
    for number in range(12):
        await house.library.add("shop", document(f"{number}.txt", f"Acme service number{number} works"))
    await house.library.add("shop", document("z.txt", "Acme service Norway works"))
    await house.library.count_words("shop")
    common = await house.store.fetch("select chunks from knowledge_lexeme where lexeme like 'servic%'")
    assert [row["chunks"] for row in common] == [13]
    assert (await house.found("acme service norway"))[0] == "z"
    assert len(await house.found("acme service works", limit=20)) == 13


async def test_meaning_finds_what_shares_no_word(embedded: House) -> None:
    base = await embedded.library.base("shop")
    assert (base.embedding, base.dimensions, base.chunks) == ("fake:topics", 256, 3)
    assert (await embedded.found("may I have my money"))[0] == "refunds"
    plain = replace(embedded, model=None)
    assert await plain.found("may I have my money") == []


@pytest.mark.parametrize("exact_up_to", [0, 4000])
async def test_the_index_of_all_bases_answers_for_one(
    embedded: House, exact_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_EXACT_UP_TO", exact_up_to)
    other = replace(embedded, organization_id=(await embedded.store.ensure_organization("Umbrella")).id)
    for number in range(60):  # more than the index looks at in one go, all of them nearer
        await other.library.add("shop", document(f"{number}.txt", f"pay back money refund {number}"))
    assert len(await other.found("money")) == 5
    passages = await embedded.knowledge().search(["shop"], "money", limit=5)
    assert passages[0].document == "refunds"
    assert {each.knowledge_base for each in passages} == {"shop"}
    assert {each.document for each in passages} <= {"refunds", "hours", "parcels"}


async def test_a_question_is_embedded_once(embedded: House) -> None:
    assert embedded.model is not None
    knowledge, asked = embedded.knowledge(), len(embedded.model.asked)
    for _ in range(3):
        await knowledge.search(["shop"], "may I have my money")
    assert len(embedded.model.asked) == asked + 1


async def test_without_its_model_a_base_is_searched_by_words(embedded: House) -> None:
    for model in (None, TopicModel("fake:other"), TopicModel()):
        if model is not None and model.name == "fake:topics":
            model.away = True
        house = replace(embedded, model=model)
        answer = await house.knowledge().answer(["shop"], "refunds")
        assert [each.document for each in answer.passages] == ["refunds"]
        assert len(answer.notes) == 1
    assert "away" in answer.notes[0]


async def test_another_model_is_refused_until_the_base_is_embedded_anew(embedded: House) -> None:
    house = replace(embedded, model=TopicModel("fake:other", dimensions=384))
    for refused in (house, replace(embedded, model=None)):
        with pytest.raises(UsageFault, match="fake:topics") as caught:
            await refused.library.add("shop", document("new.txt", "New."))
        assert "patchbay knowledge embed 'shop'" in caught.value.remedy
    counts: list[int] = []
    base = await house.library.embed("shop", on_chunks=counts.append)
    assert (base.embedding, base.dimensions, sum(counts)) == ("fake:other", 384, 3)
    assert (await house.found("may I have my money"))[0] == "refunds"
    base = await replace(embedded, model=None).library.embed("shop")
    assert (base.embedding, base.dimensions) == (None, None)
    assert await house.store.fetch("select from knowledge_vector") == []


async def test_documents_of_a_base_without_vectors_wait_for_embed(house: House) -> None:
    await house.add_all()
    house.model = TopicModel()
    added = await house.library.add("shop", document("new.txt", "Pay at the desk."))
    assert not added.embedded
    assert (await house.library.embed("shop")).embedding == "fake:topics"
    assert (await house.library.add("shop", document("newer.txt", "Pay by card."))).embedded
    assert (await house.store.fetch("select count(*) from knowledge_vector"))[0][0] == 5


async def test_what_is_added_while_a_base_is_embedded_has_a_vector_too(house: House) -> None:
    await house.add_all()
    house.model = TopicModel()
    late: list[asyncio.Task[Added]] = []

    def add_one(_count: int) -> None:
        if not late:
            late.append(spawn(house.library.add("shop", document("late.txt", "Pay late.")), name="add"))

    base = await house.library.embed("shop", on_chunks=add_one)
    await late[0]
    assert base.embedding == "fake:topics" or (await house.library.embed("shop")).embedding == "fake:topics"
    lacking = "select from knowledge_chunk where id not in (select chunk_id from knowledge_vector)"
    assert await house.store.fetch(lacking) == []


async def test_a_failed_embedding_adds_nothing_of_the_document(embedded: House) -> None:
    assert embedded.model is not None
    embedded.model.away = True
    with pytest.raises(Unreachable):
        await embedded.library.add("shop", document("new.txt", "Parrots."))
    assert [row.name for row in await embedded.library.documents("shop")] == sorted(TEXTS)


async def test_an_organization_sees_its_own_knowledge_only(house: House) -> None:
    await house.add_all()
    other = replace(house, organization_id=(await house.store.ensure_organization("Umbrella")).id)
    with pytest.raises(NotFound, match="shop"):
        await other.found("refunds")
    await other.library.add("shop", document("own.txt", "Refunds are ours."))
    assert await other.found("refunds") == ["own"]
    assert await house.found("refunds") == ["refunds"]


async def test_a_slow_database_is_given_up(house: House) -> None:
    await house.add_all()
    async with house.store.connection() as blocker, blocker.transaction():
        await blocker.execute("lock table knowledge_chunk in access exclusive mode")
        with pytest.raises(StoreUnreachable, match=r"0\.3 s"):
            await house.knowledge().search(["shop"], "refunds", timeout_s=0.3)


async def test_a_server_without_pgvector_has_words(databases: Databases) -> None:
    url = await databases.migrated()
    connection = await asyncpg.connect(url)
    await connection.execute("drop extension vector cascade; drop table knowledge_vector")
    # As a user who may not make extensions.
    await connection.execute(
        "create or replace function private.make_knowledge_vectors() returns boolean language sql as 'select false'"
    )
    await connection.close()
    store = PostgresStore(url)
    house = House(store, (await store.ensure_organization("Acme")).id, TopicModel())
    await house.add_all()
    assert await house.found("refunds") == ["refunds"]
    assert (await house.library.base("shop")).embedding is None
    with pytest.raises(Unreachable, match="no pgvector"):
        await house.library.embed("shop")
    assert await house.found("refunds") == ["refunds"]
    await store.aclose()


async def test_pgvector_that_comes_later_is_used(databases: Databases) -> None:
    url = await databases.migrated()
    connection = await asyncpg.connect(url)
    await connection.execute("drop table knowledge_vector; drop extension vector cascade")
    await connection.close()
    store = PostgresStore(url)
    house = House(store, (await store.ensure_organization("Acme")).id)
    await house.add_all()
    house.model = TopicModel()
    assert (await house.library.embed("shop")).embedding == "fake:topics"
    assert (await house.found("may I have my money"))[0] == "refunds"
    await store.aclose()
