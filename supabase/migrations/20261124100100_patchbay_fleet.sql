-- Which worker owns which call: workers with a heartbeat, leases with an epoch, the newest checkpoint of each call, and the
-- events that a call's earlier owner sent too late. Every time here is the database's. docs/decisions/0011-leases.md says why.

-- `steady_since`: since when the worker has been heard without a gap. Only who is steady takes calls whose lease has run out, so
-- that after an outage of the database everybody renews before anybody takes.
create table public.worker (
  id text primary key,
  host text not null,
  version text not null,
  region text,
  capacity integer not null,
  calls integer not null,
  state text not null check (state in ('starting', 'ready', 'busy', 'draining')),
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  steady_since timestamptz not null default now()
) with (fillfactor = 50);

-- The epoch of a call's newest owner outlives its lease: it refuses an earlier owner when the call has ended, too.
alter table public.call_session add column epoch integer not null default 1;
alter table public.session_event add column epoch integer not null default 1;

-- No index on `leased_until`, which changes every second: without one a renewal touches no index, and the table is as long as
-- there are calls that run.
create table public.call_lease (
  session_id uuid primary key,
  organization_id uuid not null,
  worker_id text not null,
  epoch integer not null,
  leased_until timestamptz not null,
  room text,
  foreign key (session_id, organization_id) references public.call_session (id, organization_id) on delete cascade
) with (fillfactor = 50);
create index call_lease_worker on public.call_lease (worker_id);
create index call_lease_organization on public.call_lease (organization_id);

-- What a call is resumed from, encrypted. Gone with the call's end.
create table public.call_checkpoint (
  session_id uuid primary key,
  organization_id uuid not null,
  seq integer not null,
  epoch integer not null,
  ciphertext text not null,
  updated_at timestamptz not null default now(),
  foreign key (session_id, organization_id) references public.call_session (id, organization_id) on delete cascade
);
create index call_checkpoint_organization on public.call_checkpoint (organization_id);

-- For people to look at: no part of the session.
create table public.late_event (
  session_id uuid not null,
  organization_id uuid not null,
  seq integer not null check (seq > 0),
  epoch integer not null,
  event_type text not null,
  payload jsonb not null,
  agent_id text,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  primary key (session_id, epoch, seq),
  foreign key (session_id, organization_id) references public.call_session (id, organization_id) on delete cascade
);
create index late_event_organization on public.late_event (organization_id, recorded_at);

-- As before, and the lease and the checkpoint go as well.
create or replace function private.forget_secrets() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.call_secret where session_id = new.id;
  delete from public.call_checkpoint where session_id = new.id;
  delete from public.call_lease where session_id = new.id;
  return null;
end
$$;

-- A worker says every second that it lives: one that was not heard for ten is lost. `calls` is what it said, `active_calls` what
-- it holds leases of.
create view public.fleet with (security_invoker = true) as
select w.id, w.host, w.region, w.version, case when w.seen_at < now() - interval '10 seconds' then 'lost' else w.state end as state,
       w.capacity, w.calls, coalesce(l.active_calls, 0) as active_calls, w.started_at, w.seen_at
from public.worker w
left join (select worker_id, count(*)::integer as active_calls from public.call_lease group by worker_id) l on l.worker_id = w.id;

-- ------------------------------------------------------------ the store over Supabase's own API
--
-- As `runtime/store/queries.py` and `postgres_fleet.py` say it. An object without `epoch` comes from the release before: 1.

create or replace function public.patchbay_store_open_call(call jsonb) returns jsonb language sql set search_path = '' as $$
  with opened as (
    insert into public.call_session (id, organization_id, workflow_version_id, channel, direction, is_test, started_at, external_session_id,
      from_number, to_number, worker_id, runtime_version, room, answered_at, ended_at, status, end_reason, cost, variables, epoch)
    select c.id, c.organization_id, c.workflow_version_id, c.channel, c.direction, c.is_test, c.started_at, c.external_session_id,
      c.from_number, c.to_number, c.worker_id, c.runtime_version, c.room, c.answered_at, c.ended_at, c.status, c.end_reason, c.cost, c.variables,
      coalesce(c.epoch, 1)
    from jsonb_to_record($1) as c (id uuid, organization_id uuid, workflow_version_id uuid, channel text, direction text, is_test boolean,
      started_at timestamptz, external_session_id text, from_number text, to_number text, worker_id text, runtime_version text, room text,
      answered_at timestamptz, ended_at timestamptz, status text, end_reason text, cost float8, variables jsonb, epoch integer)
    on conflict (id) do nothing
    returning id, organization_id, worker_id, epoch, room, ended_at
  )
  insert into public.call_lease (session_id, organization_id, worker_id, epoch, leased_until, room)
  select o.id, o.organization_id, o.worker_id, o.epoch, now() + interval '5 seconds', o.room
  -- The release before renews nothing: it gets no lease.
  from opened o where o.worker_id is not null and o.ended_at is null and $1 ? 'epoch';
  select to_jsonb(true)
$$;

create or replace function public.patchbay_store_append(events jsonb) returns jsonb language sql set search_path = '' as $$
  with given as materialized (
    select g.session_id, g.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at, g.secret, coalesce(g.epoch, 1) as epoch
    from jsonb_to_recordset($1) as g (session_id uuid, organization_id uuid, seq integer, event_type text, payload jsonb,
      agent_id text, occurred_at timestamptz, secret text, epoch integer)
  ), owned as (
    select s.id, s.epoch, s.ended_at from public.call_session s where s.id in (select g.session_id from given g) order by s.id for share
  ), secrets as (
    insert into public.call_secret (session_id, seq, ciphertext)
    select g.session_id, g.seq, g.secret from given g join owned o on o.id = g.session_id
    where g.secret is not null and o.ended_at is null and g.epoch >= o.epoch
    on conflict do nothing
  ), late as (
    insert into public.late_event (session_id, organization_id, seq, epoch, event_type, payload, agent_id, occurred_at)
    select g.session_id, g.organization_id, g.seq, g.epoch, g.event_type, g.payload, g.agent_id, g.occurred_at
    from given g join owned o on o.id = g.session_id
    where g.epoch < o.epoch
      and not exists (select from public.session_event e where e.session_id = g.session_id and e.seq = g.seq and e.epoch = g.epoch)
    on conflict do nothing
  )
  insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at, epoch)
  select g.session_id, g.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at, g.epoch
  from given g left join owned o on o.id = g.session_id where o.id is null or g.epoch >= o.epoch
  on conflict (session_id, seq) do nothing;
  select to_jsonb(true)
$$;

-- False where a later owner has the call, null where there is none; the release before knows only the latter, and is told true.
create or replace function public.patchbay_store_close_call(call jsonb) returns jsonb language sql set search_path = '' as $$
  with c as (
    select * from jsonb_to_record($1) as g (id uuid, ended_at timestamptz, status text, end_reason text, variables jsonb,
      answered_at timestamptz, cost float8, epoch integer)
  ), lease as (
    select l.session_id from public.call_lease l where l.session_id = (select c.id from c) for update
  ), closed as (
    update public.call_session s
    set ended_at = coalesce(c.ended_at, s.ended_at, now()), status = c.status, end_reason = c.end_reason, variables = c.variables,
        answered_at = c.answered_at, cost = c.cost
    from c where s.id = c.id and s.epoch <= coalesce(c.epoch, 1) and (select count(*) from lease) >= 0
    returning s.id
  )
  select to_jsonb(exists (select from closed) or not $1 ? 'epoch') from public.call_session s where s.id = (select c.id from c)
$$;

create or replace function public.patchbay_store_events(session_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('session_id', e.session_id, 'organization_id', e.organization_id, 'seq', e.seq,
    'event_type', e.event_type, 'payload', e.payload, 'agent_id', e.agent_id, 'occurred_at', e.occurred_at, 'secret', s.ciphertext,
    'epoch', e.epoch) order by e.seq), '[]')
  from public.session_event e left join public.call_secret s on s.session_id = e.session_id and s.seq = e.seq
  where e.session_id = $1
$$;

-- The sessions of which the worker is the owner no more.
create function public.patchbay_store_beat(worker jsonb, session_ids uuid[], epochs integer[], lease_s float8)
returns jsonb language sql set search_path = '' as $$
  with quick as (
    select set_config('synchronous_commit', 'off', true)
  ), forgotten as (
    delete from public.worker w where w.seen_at < now() - interval '1 day'
  ), me as (
    insert into public.worker as w (id, host, version, region, capacity, calls, state, started_at)
    select g.id, g.host, g.version, g.region, g.capacity, g.calls, g.state, coalesce(g.started_at, now())
    from quick, jsonb_to_record($1) as g (id text, host text, version text, region text, capacity integer, calls integer, state text,
      started_at timestamptz)
    on conflict (id) do update set host = excluded.host, version = excluded.version, region = excluded.region,
      capacity = excluded.capacity, calls = excluded.calls, state = excluded.state, seen_at = now(),
      steady_since = case when w.seen_at < now() - make_interval(secs => greatest($4 / 2, 2)) then now() else w.steady_since end
  ), given as materialized (
    select * from unnest($2, $3) as g (session_id, epoch)
  ), renewed as (
    update public.call_lease l set leased_until = now() + make_interval(secs => $4)
    from given g where l.session_id = g.session_id and l.epoch = g.epoch and l.worker_id = $1 ->> 'id'
    returning l.session_id
  ), silent as materialized (
    select g.session_id, g.epoch from given g where g.session_id not in (select r.session_id from renewed r)
  )
  select coalesce(jsonb_agg(n.session_id), '[]')
  from silent n join public.call_session s on s.id = n.session_id
  where s.ended_at is not null or s.epoch > n.epoch or exists (select from public.call_lease l where l.session_id = n.session_id)
$$;

create function public.patchbay_store_leave(worker_id text) returns jsonb language sql set search_path = '' as $$
  with gone as (
    delete from public.worker w where w.id = $1
  )
  update public.call_lease l set leased_until = now() where l.worker_id = $1 and l.leased_until > now();
  select to_jsonb(true)
$$;

create function public.patchbay_store_take_over(worker_id text, lease_s float8, dead text[], most integer, rooms boolean)
returns jsonb language sql set search_path = '' as $$
  with steady as materialized (
    select w.id from public.worker w
    where w.id = $1 and w.seen_at >= now() - make_interval(secs => greatest($2 / 2, 2)) and w.steady_since <= now() - make_interval(secs => 2 * $2)
  ), due as (
    select l.session_id from public.call_lease l
    where (l.worker_id = any ($3) and l.worker_id <> $1 or l.leased_until <= now() and exists (select from steady))
      and ($5 or l.room is null or l.leased_until < now() - interval '1 day')
    order by l.leased_until limit $4 for update of l skip locked
  ), abandoned as (
    select s.id from public.call_session s
    where s.ended_at is null and s.started_at < now() - interval '24 hours' and exists (select from steady)
      and not exists (select from public.call_lease l where l.session_id = s.id)
      and not exists (select from public.session_event e where e.session_id = s.id and e.recorded_at > now() - interval '24 hours')
    order by s.started_at limit greatest($4 - (select count(*) from due), 0) for no key update of s skip locked
  ), held as (
    select s.id from public.call_session s
    where s.ended_at is null and s.id in (select d.session_id from due d) order by s.id for no key update
  ), taken as (
    update public.call_session s set epoch = s.epoch + 1, worker_id = $1
    from (select h.id from held h union all select a.id from abandoned a) mine where s.id = mine.id
    returning s.id, s.organization_id, s.epoch
  ), leased as (
    insert into public.call_lease (session_id, organization_id, worker_id, epoch, leased_until)
    select t.id, t.organization_id, $1, t.epoch, now() + make_interval(secs => $2) from taken t
    on conflict (session_id) do update set worker_id = excluded.worker_id, epoch = excluded.epoch, leased_until = excluded.leased_until
    returning *
  )
  select coalesce(jsonb_agg(to_jsonb(l)), '[]') from leased l
$$;

create function public.patchbay_store_lease(session_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select to_jsonb(l) from public.call_lease l where l.session_id = $1
$$;

create function public.patchbay_store_workers() returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(f) order by f.started_at, f.id), '[]') from public.fleet f where f.seen_at > now() - interval '1 day'
$$;

create function public.patchbay_store_save_checkpoints(checkpoints jsonb) returns jsonb language sql set search_path = '' as $$
  with given as materialized (
    select distinct on (g.session_id) g.session_id, g.organization_id, g.seq, g.epoch, g.ciphertext
    from jsonb_to_recordset($1) as g (session_id uuid, organization_id uuid, seq integer, epoch integer, ciphertext text)
    order by g.session_id, g.epoch desc, g.seq desc
  ), owned as (
    select s.id, s.epoch from public.call_session s
    where s.ended_at is null and s.id in (select g.session_id from given g) order by s.id for share
  )
  insert into public.call_checkpoint as c (session_id, organization_id, seq, epoch, ciphertext)
  select g.session_id, g.organization_id, g.seq, g.epoch, g.ciphertext
  from given g join owned o on o.id = g.session_id and g.epoch >= o.epoch
  on conflict (session_id) do update
  set seq = excluded.seq, epoch = excluded.epoch, ciphertext = excluded.ciphertext, updated_at = now()
  where (excluded.epoch, excluded.seq) >= (c.epoch, c.seq);
  select to_jsonb(true)
$$;

create function public.patchbay_store_checkpoint(session_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select to_jsonb(c) from public.call_checkpoint c where c.session_id = $1
$$;

-- ------------------------------------------------------------ who may what

alter table public.worker enable row level security;
alter table public.call_lease enable row level security;
alter table public.call_checkpoint enable row level security;
alter table public.late_event enable row level security;
revoke all on public.worker, public.call_lease, public.call_checkpoint, public.late_event, public.fleet from anon, authenticated;
grant all on public.worker, public.call_lease, public.call_checkpoint, public.late_event to service_role;
grant select on public.fleet to service_role;
grant select on public.late_event to authenticated;
create policy late_event_select on public.late_event for select to authenticated
  using (organization_id = any (array(select private.my_orgs())));

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'public' and p.proname like 'patchbay\_store\_%'
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
  execute format('create or replace function patchbay.own_tables() returns text[] language sql immutable set search_path = '''' as %L',
    format('select %L::text[]', array(select distinct t from unnest(
      patchbay.own_tables() || array['worker', 'call_lease', 'call_checkpoint', 'late_event', 'fleet']) t order by t)));
end
$$;

notify pgrst, 'reload schema';
