-- What the API's sessions, live events, knowledge and webhooks need of the database.

-- ------------------------------------------------------------ live events

-- Told once a statement: the sessions whose events came, or nothing where they are too many to name (8000 bytes is the most
-- that a notification takes), which means "look".
create function private.tell_events() returns trigger language plpgsql set search_path = '' as $$
begin
  perform pg_notify('patchbay_events', case when count(*) <= 100 then string_agg(i.id, ',') else '' end)
  from (select session_id::text as id from added group by session_id limit 101) i having count(*) > 0;
  return null;
end
$$;
revoke execute on function private.tell_events() from public;
grant execute on function private.tell_events() to authenticated, service_role;
create trigger session_event_told after insert on public.session_event
  referencing new table as added for each statement execute function private.tell_events();

-- Browsers cannot send headers with a socket: a ticket in its address stands for who asked for it, once and for a minute. Only
-- its SHA-256 is here.
create table public.live_ticket (
  ticket_hash text primary key check (ticket_hash ~ '^[0-9a-f]{64}$'),
  principal jsonb not null,
  expires_at timestamptz not null
);
create index live_ticket_age on public.live_ticket (expires_at);
alter table public.live_ticket enable row level security;
revoke all on public.live_ticket from anon, authenticated;
grant all on public.live_ticket to service_role;

-- Events beyond where a reader stands (`after`: a number for each session that it knows) of the sessions that run, of those that
-- began in the last minute, and of those that it knows; at most 20 of each.
create function public.live_events(organization_id uuid, after jsonb default '{}', workflow_id uuid default null, channel text default null,
                                   include_tests boolean default true)
returns table (session_id uuid, seq integer, event_type text, payload jsonb, agent_id text, occurred_at timestamptz, recorded_at timestamptz)
language sql stable set search_path = '' as $$
  with meant as (
    select s.id from public.call_session s where s.organization_id = live_events.organization_id and s.ended_at is null
    union
    select s.id from public.call_session s where s.organization_id = live_events.organization_id and s.started_at > now() - interval '1 minute'
    union
    select k::uuid from jsonb_object_keys(after) k
  )
  select e.session_id, e.seq, e.event_type, e.payload, e.agent_id, e.occurred_at, e.recorded_at
  from meant
  join public.call_session s on s.id = meant.id
  cross join lateral (
    select * from public.session_event e
    where e.session_id = s.id and e.seq > coalesce((after ->> s.id::text)::integer, 0) order by e.seq limit 20
  ) e
  where s.organization_id = live_events.organization_id and (include_tests or not s.is_test)
    and (live_events.channel is null or s.channel = live_events.channel)
    and (live_events.workflow_id is null or exists (
      select from public.workflow_version v where v.id = s.workflow_version_id and v.workflow_id = live_events.workflow_id))
  order by e.id
$$;

-- ------------------------------------------------------------ sessions

-- A part of an organization's sessions, newest first; a filter that is null lets everything through.
create function public.sessions_page(
  organization_id uuid, workflow_id uuid default null, workflow_version_id uuid default null, channel text default null,
  status text default null, from_time timestamptz default null, to_time timestamptz default null, number text default null,
  is_test boolean default null, after_started_at timestamptz default null, after_id uuid default null, most integer default 50)
returns setof public.call_session language sql stable set search_path = '' as $$
  select s.* from public.call_session s
  where s.organization_id = sessions_page.organization_id
    and (sessions_page.workflow_version_id is null or s.workflow_version_id = sessions_page.workflow_version_id)
    and (sessions_page.workflow_id is null or s.workflow_version_id in (
      select v.id from public.workflow_version v where v.workflow_id = sessions_page.workflow_id))
    and (sessions_page.channel is null or s.channel = sessions_page.channel)
    and (sessions_page.status is null or s.status = sessions_page.status)
    and (sessions_page.number is null or s.from_number = sessions_page.number or s.to_number = sessions_page.number)
    and (sessions_page.is_test is null or s.is_test = sessions_page.is_test)
    and s.started_at >= coalesce(from_time, '-infinity') and s.started_at < coalesce(to_time, 'infinity')
    and (after_started_at is null or (s.started_at, s.id) < (after_started_at, after_id))
  order by s.started_at desc, s.id desc limit least(most, 1000)
$$;

-- ------------------------------------------------------------ webhooks

-- Definer, for members only read deliveries: it asks itself who calls, and writes down what was done.
create function private.retry_delivery(delivery_id uuid) returns public.webhook_delivery
language plpgsql security definer set search_path = '' as $$
declare
  claims jsonb := private.claims();
  was public.webhook_delivery;
  is_now public.webhook_delivery;
begin
  select * into was from public.webhook_delivery d
  where d.id = delivery_id and d.organization_id = any (array(select private.my_orgs())) for update;
  if not found then
    raise exception 'there is no webhook delivery %', delivery_id using errcode = 'PB404';
  end if;
  if not was.organization_id = any (array(select private.my_orgs_as('owner', 'builder'))) then
    raise exception 'only owners and builders send webhooks again' using errcode = 'insufficient_privilege';
  end if;
  if was.leased_until > now() then
    raise exception 'webhook delivery % is being sent right now', delivery_id
      using errcode = 'restrict_violation', hint = 'Wait until this attempt has ended, then look at its status.';
  end if;
  update public.webhook_delivery d set status = 'pending', attempts = 0, due_at = now(), leased_until = null, delivered_at = null
  where d.id = delivery_id returning * into is_now;
  insert into public.audit_log (organization_id, actor_kind, actor_id, request_id, action, table_name, row_id, before, after)
  values (was.organization_id, case when claims ->> 'api_key_id' is not null then 'api_key' else 'user' end,
    coalesce((claims ->> 'api_key_id')::uuid, (select auth.uid())),
    coalesce(nullif(current_setting('patchbay.request_id', true), ''), nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-request-id'),
    'retry', 'webhook_delivery', delivery_id::text,
    jsonb_build_object('status', was.status, 'attempts', was.attempts), jsonb_build_object('status', is_now.status, 'attempts', is_now.attempts));
  return is_now;
end
$$;

create function public.retry_delivery(delivery_id uuid) returns public.webhook_delivery language sql set search_path = '' as $$
  select * from private.retry_delivery(delivery_id)
$$;

-- ------------------------------------------------------------ knowledge

-- Owners and builders add documents under their own role; every member searches.
grant insert (organization_id, name, language), update (embedding, dimensions, counted) on public.knowledge_base to authenticated;
grant insert (organization_id, knowledge_base_id, name, title, media_type, sha256, characters, chunks),
  update (title, media_type, sha256, characters, chunks, added_at) on public.knowledge_document to authenticated;
grant insert (organization_id, knowledge_base_id, document_id, language, seq, heading, place, content), delete on public.knowledge_chunk to authenticated;
grant select, insert (knowledge_base_id, lexeme, chunks), delete on public.knowledge_lexeme to authenticated;
-- A generated column is worked out as whoever writes.
grant execute on function private.knowledge_words(text, uuid, text, text) to authenticated;

do $$
declare
  t text;
begin
  foreach t in array array['knowledge_base', 'knowledge_document', 'knowledge_chunk']
  loop
    execute format($p$create policy %I on public.%I for insert to authenticated
                      with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))$p$, t || '_insert', t);
  end loop;
end
$$;
create policy knowledge_document_update on public.knowledge_document for update to authenticated
  using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))
  with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))));
create policy knowledge_chunk_delete on public.knowledge_chunk for delete to authenticated
  using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))));

-- A lexeme belongs to whom its base belongs to.
create policy knowledge_lexeme_select on public.knowledge_lexeme for select to authenticated using (knowledge_base_id = any (array(
  select b.id from public.knowledge_base b where b.organization_id = any (array(select private.my_orgs())))));
create policy knowledge_lexeme_insert on public.knowledge_lexeme for insert to authenticated with check (knowledge_base_id = any (array(
  select b.id from public.knowledge_base b where b.organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))));
create policy knowledge_lexeme_delete on public.knowledge_lexeme for delete to authenticated using (knowledge_base_id = any (array(
  select b.id from public.knowledge_base b where b.organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))));

-- The same for vectors, where there are any; made later, they get it then.
create function private.share_knowledge_vectors() returns void language plpgsql set search_path = '' as $$
begin
  if to_regclass('public.knowledge_vector') is null or exists (
    select from pg_catalog.pg_policy p where p.polrelid = to_regclass('public.knowledge_vector') and p.polname = 'knowledge_vector_select'
  ) then
    return;
  end if;
  grant select, insert, delete on public.knowledge_vector to authenticated;
  create policy knowledge_vector_select on public.knowledge_vector for select to authenticated
    using (organization_id = any (array(select private.my_orgs())));
  create policy knowledge_vector_insert on public.knowledge_vector for insert to authenticated
    with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))));
  create policy knowledge_vector_delete on public.knowledge_vector for delete to authenticated
    using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))));
end
$$;

-- As before, and what it makes is shared.
create or replace function private.make_knowledge_vectors() returns boolean language plpgsql set search_path = '' as $make$
declare
  place text;
  d integer;
begin
  if to_regclass('public.knowledge_vector') is not null then
    perform private.share_knowledge_vectors();
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
  perform private.share_knowledge_vectors();
  return true;
end
$make$;
revoke execute on function private.share_knowledge_vectors() from public;
grant execute on function private.share_knowledge_vectors() to service_role;
select private.share_knowledge_vectors();

-- ------------------------------------------------------------ who may what

revoke execute on function public.live_events(uuid, jsonb, uuid, text, boolean),
  public.sessions_page(uuid, uuid, uuid, text, text, timestamptz, timestamptz, text, boolean, timestamptz, uuid, integer),
  public.retry_delivery(uuid), private.retry_delivery(uuid) from public;
revoke execute on function public.live_events(uuid, jsonb, uuid, text, boolean),
  public.sessions_page(uuid, uuid, uuid, text, text, timestamptz, timestamptz, text, boolean, timestamptz, uuid, integer),
  public.retry_delivery(uuid) from anon;
grant execute on function public.live_events(uuid, jsonb, uuid, text, boolean),
  public.sessions_page(uuid, uuid, uuid, text, text, timestamptz, timestamptz, text, boolean, timestamptz, uuid, integer),
  public.retry_delivery(uuid), private.retry_delivery(uuid) to authenticated, service_role;

do $$
begin
  execute format('create or replace function patchbay.own_tables() returns text[] language sql immutable set search_path = '''' as %L',
    format('select %L::text[]', array(select distinct t from unnest(patchbay.own_tables() || array['live_ticket']) t order by t)));
end
$$;
