"""The SQL of the knowledge; each constant is one statement."""

from __future__ import annotations

from runtime.knowledge.ranking import CANDIDATES, MOST_TERMS

__all__: list[str] = []

# --- bases and documents

_BASE = """
select b.id, b.organization_id, b.name, b.language, b.embedding, b.dimensions, b.counted, b.created_at,
  (select count(*) from public.knowledge_document d where d.knowledge_base_id = b.id) as documents,
  (select coalesce(sum(d.chunks), 0)::int from public.knowledge_document d where d.knowledge_base_id = b.id) as chunks
from public.knowledge_base b
"""
BASES = _BASE + "where b.organization_id = $1 order by b.name"
BASE = _BASE + "where b.organization_id = $1 and b.name = $2"
BASE_MAKE = """
insert into public.knowledge_base (organization_id, name, language) values ($1, $2, $3)
on conflict (organization_id, name) do nothing
"""
BASE_LOCK = "select embedding, dimensions from public.knowledge_base where id = $1 for update"
BASE_REMOVE = "delete from public.knowledge_base where id = $1"
BASE_EMBEDDED = "update public.knowledge_base set embedding = $2, dimensions = $3 where id = $1"

LANGUAGES = (
    "select cfgname from pg_catalog.pg_ts_config where cfgnamespace = 'pg_catalog'::regnamespace order by cfgname"
)
# A language is known by its stop words: what a stemmer leaves nothing of.
STOP_WORDS = """
select left(d.dictname, -5) as language, count(*) as words
from pg_catalog.pg_ts_dict d, unnest($1::text[]) word
where d.dictname like '%\\_stem' and d.dictnamespace = 'pg_catalog'::regnamespace and ts_lexize(d.oid::regdictionary, word) = '{}'
group by 1 order by 2 desc limit 1
"""

_DOCUMENT = (
    "select id, name, title, media_type, sha256, characters, chunks, added_at from public.knowledge_document where "
)
DOCUMENTS = _DOCUMENT + "knowledge_base_id = $1 order by name"
DOCUMENT = _DOCUMENT + "knowledge_base_id = $1 and name = $2"
DOCUMENT_SET = """
insert into public.knowledge_document
  (organization_id, knowledge_base_id, name, title, media_type, sha256, characters, chunks) values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (knowledge_base_id, name) do update set title = excluded.title, media_type = excluded.media_type,
  sha256 = excluded.sha256, characters = excluded.characters, chunks = excluded.chunks, added_at = now()
returning id
"""
DOCUMENT_REMOVE = "delete from public.knowledge_document where id = $1"

CHUNKS_CLEAR = "delete from public.knowledge_chunk where document_id = $1"
CHUNKS_ADD = """
insert into public.knowledge_chunk (organization_id, knowledge_base_id, document_id, language, seq, heading, place, content)
select $1, $2, $3, $4, * from unnest($5::int[], $6::text[], $7::text[], $8::text[]) returning id
"""

# The first document of a base says of which model its vectors are.
BASE_ADOPT = """
update public.knowledge_base b set embedding = $2, dimensions = $3
where id = $1 and not exists (select from public.knowledge_chunk c where c.knowledge_base_id = b.id)
"""

LEXEMES_CLEAR = "delete from public.knowledge_lexeme where knowledge_base_id = $1"
LEXEMES_COUNT = """
insert into public.knowledge_lexeme (knowledge_base_id, lexeme, chunks)
select $1, word, ndoc
from ts_stat(format('select words from public.knowledge_chunk where knowledge_base_id = %L', $1::uuid))
where word not like 'kb:%' and ndoc > 1 order by ndoc desc limit $2
"""
LEXEMES_COUNTED = """
update public.knowledge_base
set counted = (select count(*) from public.knowledge_chunk where knowledge_base_id = $1) where id = $1
"""

# --- vectors; `{vector}` is pgvector's schema

VECTORS_MAKE = "select private.make_knowledge_vectors()"
VECTORS_ARE = """
select n.nspname as place, (string_to_array(e.extversion, '.'))[1:2]::int[] >= array[0, 8] as iterates
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname = 'vector' and to_regclass('public.knowledge_vector') is not null
"""
VECTORS_ADD = """
insert into public.knowledge_vector (chunk_id, organization_id, knowledge_base_id, dimensions, embedding)
select chunk_id, $1, $2, $3, embedding::{vector}.halfvec from unnest($4::bigint[], $5::text[]) as given (chunk_id, embedding)
where exists (select from public.knowledge_chunk c where c.id = chunk_id)
on conflict (chunk_id) do nothing
"""
VECTORS_CLEAR = "delete from public.knowledge_vector where knowledge_base_id = $1"
VECTORS_MISSING = """
select c.id, c.heading, c.content from public.knowledge_chunk c
where c.knowledge_base_id = $1 and not exists (select from public.knowledge_vector v where v.chunk_id = c.id)
order by c.id limit $2
"""

# --- searching

SCOPE = """
select b.id, b.name, b.language, b.embedding, b.dimensions,
  (select count(*) from (select from public.knowledge_chunk c where c.knowledge_base_id = b.id limit $3) counted) as chunks, b.counted
from public.knowledge_base b where b.organization_id = $1 and b.name = any ($2)
"""
# What is not among a base's most frequent lexemes is in few of its chunks.
LEXEMES = """
select lexeme, coalesce((select sum(k.chunks) from public.knowledge_lexeme k
                         where k.lexeme = asked.lexeme and k.knowledge_base_id = any ($3)), 1)::int as chunks
from (select distinct (unnest(to_tsvector(('pg_catalog.' || language)::regconfig, $1))).lexeme from unnest($2::text[]) language) asked
"""


def _by_words() -> str:
    """Each weight of `$4` counts where the lexeme of `$3` at its place is in the chunk; a null place never does.

    The parsed queries stand in a row of their own, or each chunk would parse them anew.
    """
    places = range(1, MOST_TERMS + 1)
    parsed = ", ".join(f"($3::text[])[{n}]::tsquery as q{n}, ($4::float8[])[{n}] as w{n}" for n in places)
    coverage = " + ".join(f"case when words @@ q{n} then w{n} else 0 end" for n in places)
    return f"""
with candidate as materialized (
  select id, words from public.knowledge_chunk
  where words @@ (select $1::text::tsquery) and knowledge_base_id = any ($2) limit {CANDIDATES}
), asked as materialized (
  select {parsed}
), covered as (
  select id, words, {coverage} as coverage from candidate, asked order by coverage desc limit 100
)
select id, coverage from covered
order by coverage + 0.2 * ts_rank_cd(words, (select $5::text::tsquery), 32) desc, id limit $6
"""  # noqa: S608 - our own constants


BY_WORDS = _by_words()

# All vectors of the bases are compared. The subquery with `offset 0` keeps the planner from the index of all bases.
BY_MEANING_EXACT = """
select chunk_id as id, 1 - (embedding operator({vector}.<=>) (select $1::text::{vector}.halfvec)) as similarity
from (select chunk_id, embedding from public.knowledge_vector
      where knowledge_base_id = any ($2) and dimensions = {dimensions} offset 0) own
order by 2 desc limit $3
"""
BY_MEANING = """
with nearest as materialized (
  select chunk_id, embedding::{vector}.halfvec({dimensions}) operator({vector}.<=>) $1::text::{vector}.halfvec({dimensions}) as distance
  from public.knowledge_vector
  where knowledge_base_id = any ($2) and dimensions = {dimensions}
  order by embedding::{vector}.halfvec({dimensions}) operator({vector}.<=>) $1::text::{vector}.halfvec({dimensions}) limit $3
)
select chunk_id as id, 1 - distance as similarity from nearest order by distance, chunk_id
"""
# `enable_sort` would let the planner read and sort a whole base that it takes for small.
BY_MEANING_SETTINGS = "select set_config('enable_sort', 'off', true)"
BY_MEANING_ITERATES = BY_MEANING_SETTINGS + ", set_config('hnsw.iterative_scan', 'strict_order', true)"

PASSAGES = """
select c.id, b.name as knowledge_base, d.title as document, d.id::text as document_id, c.seq, c.place, c.content
from public.knowledge_chunk c join public.knowledge_document d on d.id = c.document_id
  join public.knowledge_base b on b.id = c.knowledge_base_id
where c.id = any ($1)
"""
