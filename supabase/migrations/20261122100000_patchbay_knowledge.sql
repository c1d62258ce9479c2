-- What agents may look up: bases of documents, cut into chunks that are found by their words and, where the server has
-- pgvector and an embedding provider is configured, by their meaning.

-- `language` names a text search configuration. It is text and no regconfig, for pg_upgrade refuses tables with such a column.
-- `embedding` is the model all vectors of the base are of, null where it has none. `counted` is the number of chunks at the
-- time `knowledge_lexeme` was filled.
create table public.knowledge_base (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  name text not null check (name <> ''),
  language text not null default 'simple' check (language ~ '^[a-z][a-z0-9_]*$'),
  embedding text,
  dimensions integer check (dimensions between 1 and 4000),
  counted integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, name),
  unique (id, organization_id),
  check ((embedding is null) = (dimensions is null))
);

create table public.knowledge_document (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  knowledge_base_id uuid not null,
  name text not null check (name <> ''),
  title text not null,
  media_type text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  characters integer not null,
  chunks integer not null,
  added_at timestamptz not null default now(),
  unique (knowledge_base_id, name),
  unique (id, knowledge_base_id, organization_id),
  foreign key (knowledge_base_id, organization_id) references public.knowledge_base (id, organization_id) on delete cascade
);
create index knowledge_document_organization on public.knowledge_document (organization_id);

-- What a chunk is found by: its words, its headings with more weight, and its base as one more word, so that the index can
-- leave other bases' chunks aside by itself. Immutable as long as nobody alters the server's text search configurations.
create function private.knowledge_words(language text, base uuid, heading text, content text) returns tsvector
language sql immutable parallel safe set search_path = '' as $$
  select pg_catalog.array_to_tsvector(array['kb:' || base::text])
    || pg_catalog.setweight(pg_catalog.to_tsvector(('pg_catalog.' || language)::regconfig, heading), 'B')
    || pg_catalog.to_tsvector(('pg_catalog.' || language)::regconfig, content)
$$;

-- Rows stay whole up to a page: a `words` that was moved out would be fetched anew for each chunk that is ranked.
create table public.knowledge_chunk (
  id bigint generated always as identity primary key,
  organization_id uuid not null,
  knowledge_base_id uuid not null,
  document_id uuid not null,
  seq integer not null check (seq > 0),
  language text not null,
  heading text not null,
  place text not null,
  content text not null,
  words tsvector not null generated always as (private.knowledge_words(language, knowledge_base_id, heading, content)) stored,
  unique (document_id, seq),
  unique (id, knowledge_base_id, organization_id),
  foreign key (document_id, knowledge_base_id, organization_id)
    references public.knowledge_document (id, knowledge_base_id, organization_id) on delete cascade
) with (toast_tuple_target = 8160);
create index knowledge_chunk_words on public.knowledge_chunk using gin (words) with (fastupdate = off);
create index knowledge_chunk_base on public.knowledge_chunk (knowledge_base_id);
create index knowledge_chunk_organization on public.knowledge_chunk (organization_id);

-- In how many chunks of a base its most frequent lexemes are: what is in nearly every chunk tells nothing and is not searched for.
create table public.knowledge_lexeme (
  knowledge_base_id uuid not null references public.knowledge_base (id) on delete cascade,
  lexeme text not null,
  chunks integer not null,
  primary key (knowledge_base_id, lexeme)
);

create trigger touch before update on public.knowledge_base for each row execute function private.touch();

do $$
declare
  t text;
begin
  foreach t in array array['knowledge_base', 'knowledge_document', 'knowledge_chunk', 'knowledge_lexeme']
  loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from anon, authenticated', t);
    execute format('grant all on public.%I to service_role', t);
  end loop;
  -- Every member reads; owners and builders take away. What is added has to be read and cut first, which the service does.
  foreach t in array array['knowledge_base', 'knowledge_document', 'knowledge_chunk']
  loop
    execute format('grant select on public.%I to authenticated', t);
    execute format('create policy %I on public.%I for select to authenticated using (organization_id = any (array(select private.my_orgs())))',
                   t || '_select', t);
  end loop;
  foreach t in array array['knowledge_base', 'knowledge_document']
  loop
    execute format('grant delete on public.%I to authenticated', t);
    execute format($p$create policy %I on public.%I for delete to authenticated
                      using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))$p$, t || '_delete', t);
  end loop;
end
$$;
grant update (name) on public.knowledge_base to authenticated;
create policy knowledge_base_update on public.knowledge_base for update to authenticated
  using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))
  with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))));
revoke execute on function private.knowledge_words(text, uuid, text, text) from public;
grant execute on function private.knowledge_words(text, uuid, text, text) to service_role;

-- Makes the table of vectors where the server has pgvector from 0.7 on, and tells whether it is there. A server that gets
-- pgvector later has it made by the next `patchbay knowledge embed`.
create function private.make_knowledge_vectors() returns boolean language plpgsql set search_path = '' as $make$
declare
  place text;
  d integer;
begin
  if to_regclass('public.knowledge_vector') is not null then
    return true;
  end if;
  if not exists (select from pg_catalog.pg_extension where extname = 'vector') then
    if not exists (select from pg_catalog.pg_available_extensions where name = 'vector') then
      return false;
    end if;
    -- Supabase keeps extensions in a schema of their own.
    place := case when to_regnamespace('extensions') is null then 'public' else 'extensions' end;
    begin
      execute format('create extension vector with schema %I', place);
    exception when insufficient_privilege then
      return false;
    end;
  end if;
  select n.nspname into place from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector';
  if to_regtype(format('%I.halfvec', place)) is null then
    return false;
  end if;
  -- `plain` keeps a vector in its row: at 3072 dimensions it is 6 kB.
  execute format($sql$
    create table public.knowledge_vector (
      chunk_id bigint primary key,
      organization_id uuid not null,
      knowledge_base_id uuid not null,
      dimensions integer not null,
      embedding %I.halfvec not null,
      foreign key (chunk_id, knowledge_base_id, organization_id)
        references public.knowledge_chunk (id, knowledge_base_id, organization_id) on delete cascade
    )$sql$, place);
  alter table public.knowledge_vector alter column embedding set storage plain;
  create index knowledge_vector_base on public.knowledge_vector (knowledge_base_id);
  create index knowledge_vector_organization on public.knowledge_vector (organization_id);
  foreach d in array array[256, 384, 512, 768, 1024, 1536, 3072]
  loop
    execute format('create index %I on public.knowledge_vector using hnsw ((embedding::%I.halfvec(%s)) %I.halfvec_cosine_ops) where dimensions = %s',
                   'knowledge_vector_' || d, place, d, place, d);
  end loop;
  alter table public.knowledge_vector enable row level security;
  revoke all on public.knowledge_vector from anon, authenticated;
  grant all on public.knowledge_vector to service_role;
  return true;
end
$make$;
revoke execute on function private.make_knowledge_vectors() from public;
grant execute on function private.make_knowledge_vectors() to service_role;

select private.make_knowledge_vectors();
