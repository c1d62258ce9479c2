-- How long calls are kept, and the removal of one person from what is stored.
--
-- `retention_days` is the owner's to set, `audit_days` the operator's; null keeps everything. What goes is a session with all that
-- hangs on it. Facts and daily totals stay: they hold no personal data.
alter table public.organization
  add column retention_days integer check (retention_days between 1 and 36500),
  add column audit_days integer check (audit_days between 1 and 36500);
grant update (retention_days) on public.organization to authenticated;

-- How far a run has come. One that stood still for a minute is taken up by the next.
create table public.retention_run (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  cutoff timestamptz,
  sessions bigint not null default 0,
  events bigint not null default 0,
  others bigint not null default 0,
  status text not null default 'running' check (status in ('running', 'done', 'failed')),
  last_error text
);
create index retention_run_recent on public.retention_run (organization_id, started_at desc);
alter table public.retention_run enable row level security;
revoke all on public.retention_run from anon, authenticated;
grant all on public.retention_run to service_role;
grant select on public.retention_run to authenticated;
create policy retention_run_select on public.retention_run for select to authenticated
  using (organization_id = any (array(select private.my_orgs())));

-- ------------------------------------------------------------ retention
--
-- Definer, as a service_role that was made without `bypassrls` would see no rows; the service role alone may call them.

create function public.patchbay_retention_set(organization_id uuid, retention_days integer, audit_days integer)
returns jsonb language sql security definer set search_path = '' as $$
  update public.organization o set retention_days = $2, audit_days = $3
  where o.id = $1 returning to_jsonb(true)
$$;

-- Of one organization, or of all where null; `never_ended` are sessions whose process is gone and whose end nobody told.
create function public.patchbay_retention_show(organization_id uuid default null) returns jsonb language sql stable security definer
set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', o.id, 'name', o.name, 'retention_days', o.retention_days, 'audit_days', o.audit_days,
    'cutoff', o.before, 'audit_cutoff', o.audit_before,
    'sessions', (select count(*) from public.call_session s where s.organization_id = o.id and s.ended_at < o.before),
    'events', (select count(*) from public.call_session s join public.session_event e on e.session_id = s.id
               where s.organization_id = o.id and s.ended_at < o.before),
    'never_ended', (select count(*) from public.call_session s
                    where s.organization_id = o.id and s.ended_at is null and s.started_at < now() - interval '48 hours'),
    'tests', (select count(*) from public.test_session t where t.organization_id = o.id and t.session_id is null and t.created_at < o.before),
    'audit', (select count(*) from public.audit_log a where a.organization_id = o.id and a.occurred_at < o.audit_before),
    'runs', (select coalesce(jsonb_agg(to_jsonb(r) - 'organization_id' order by r.started_at desc), '[]')
             from (select * from public.retention_run where organization_id = o.id order by started_at desc limit 5) r)
    ) order by o.name, o.id), '[]')
  from (select *, now() - make_interval(days => g.retention_days) as before, now() - make_interval(days => g.audit_days) as audit_before
        from public.organization g where $1 is null or g.id = $1) o
$$;

-- Null where the organization keeps everything.
create function public.patchbay_retention_begin(organization_id uuid) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  keeps public.organization;
  run public.retention_run;
begin
  select * into keeps from public.organization o where o.id = $1;
  if keeps.retention_days is null and keeps.audit_days is null then
    return null;
  end if;
  update public.retention_run r set updated_at = now(), cutoff = now() - make_interval(days => keeps.retention_days)
  where r.id = (select w.id from public.retention_run w
                where w.organization_id = $1 and w.status = 'running' and w.updated_at < now() - interval '1 minute'
                order by w.started_at limit 1 for update skip locked)
  returning * into run;
  if run.id is null then
    insert into public.retention_run (organization_id, cutoff) values ($1, now() - make_interval(days => keeps.retention_days))
    returning * into run;
  end if;
  return to_jsonb(run);
end
$$;

-- What waits for a webhook or an analysis is left for a week more, and what never ended for ever unless `abandoned` is said: then
-- it goes where nothing was heard of it for two days. Whole sessions, oldest first, and after the first no more than 10 000 events
-- at once, so that no lock lasts; those that another run holds are left to it.
create function private.overdue_sessions(organization uuid, before timestamptz, most integer, abandoned boolean)
returns uuid[] language plpgsql set search_path = '' as $$
declare
  chosen uuid[];
begin
  with held as materialized (
    select s.id, s.started_at, (select count(*) from (select from public.session_event e where e.session_id = s.id limit 10000) c) as events
    from public.call_session s
    where s.organization_id = organization and s.started_at < before
      and (s.ended_at < before
           or abandoned and s.ended_at is null and s.started_at < now() - interval '48 hours'
              and not exists (select from public.session_event e where e.session_id = s.id and e.recorded_at > now() - interval '48 hours'))
      and (s.ended_at < before - interval '7 days' or s.ended_at is null
           or not exists (select from public.webhook_delivery d where d.session_id = s.id and d.status = 'pending')
              and not exists (select from public.after_call a where a.session_id = s.id and a.status = 'pending'))
    order by s.started_at, s.id limit most for update of s skip locked
  ), counted as (
    select h.id, sum(h.events) over (order by h.started_at, h.id) - h.events as events_before from held h
  )
  select array_agg(c.id) into chosen from counted c where c.events_before < 10000;
  return chosen;
end
$$;

create function private.remove_old_rows(organization uuid, before timestamptz, audit_before timestamptz, most integer)
returns integer language plpgsql set search_path = '' as $$
declare
  tests integer;
  audits integer;
begin
  delete from public.test_session t where t.id in (
    select o.id from public.test_session o
    where o.organization_id = organization and o.session_id is null and o.created_at < before limit most for update skip locked);
  get diagnostics tests = row_count;
  delete from public.audit_log a where a.id in (
    select o.id from public.audit_log o
    where o.organization_id = organization and o.occurred_at < audit_before order by o.id limit most for update skip locked);
  get diagnostics audits = row_count;
  return tests + audits;
end
$$;

-- Answers with the run as it stands; its status is `done` once nothing is left to take. An owner who lifts the days stops it.
create function public.patchbay_retention_step(run_id uuid, batch integer, abandoned boolean default false)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  run public.retention_run;
  keeps public.organization;
  before timestamptz;
  chosen uuid[];
  gone_events integer := 0;
  gone_others integer := 0;
begin
  select * into run from public.retention_run r where r.id = run_id for update;
  if run.id is null or run.status <> 'running' then
    return to_jsonb(run);
  end if;
  select * into keeps from public.organization o where o.id = run.organization_id;
  before := least(run.cutoff, now() - make_interval(days => keeps.retention_days));
  if keeps.retention_days is not null then
    chosen := private.overdue_sessions(run.organization_id, before, batch, abandoned);
  else
    before := null;
  end if;
  if chosen is not null then
    delete from public.session_event e where e.session_id = any (chosen);
    get diagnostics gone_events = row_count;
    delete from public.test_session t where t.session_id = any (chosen);
    get diagnostics gone_others = row_count;
    delete from public.call_session s where s.id = any (chosen);
  else
    gone_others := private.remove_old_rows(run.organization_id, before, now() - make_interval(days => keeps.audit_days), batch);
  end if;
  update public.retention_run r
  set updated_at = now(), sessions = r.sessions + coalesce(cardinality(chosen), 0), events = r.events + gone_events, others = r.others + gone_others,
      status = case when chosen is null and gone_others = 0 then 'done' else 'running' end,
      finished_at = case when chosen is null and gone_others = 0 then now() end
  where r.id = run.id returning * into run;
  return to_jsonb(run);
end
$$;

create function public.patchbay_retention_fail(run_id uuid, error text) returns jsonb language sql security definer set search_path = '' as $$
  update public.retention_run r set status = 'failed', finished_at = now(), last_error = left($2, 500)
  where r.id = $1 and r.status = 'running' returning to_jsonb(true)
$$;

-- Answers to repeated requests serve for a day.
create function public.patchbay_retention_tidy(most integer default 10000) returns jsonb language plpgsql security definer
set search_path = '' as $$
declare
  gone integer;
begin
  delete from public.idempotency_key k where k.ctid = any (array(
    select o.ctid from public.idempotency_key o where o.created_at < now() - interval '1 day' limit most for update skip locked));
  get diagnostics gone = row_count;
  return to_jsonb(gone);
end
$$;

-- For a scheduler inside the database (pg_cron): at most `steps` batches, all in one transaction; the next call goes on.
create function public.patchbay_retention_run(batch integer default 500, steps integer default 10)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  organization record;
  run jsonb;
  left_over integer := steps;
  gone bigint := 0;
begin
  perform public.patchbay_retention_tidy();
  for organization in
    select o.id from public.organization o where o.retention_days is not null or o.audit_days is not null order by random()
  loop
    exit when left_over <= 0;
    -- What this transaction left unfinished, and nobody else works at, is the next one's.
    select to_jsonb(r) into run from public.retention_run r
    where r.organization_id = organization.id and r.status = 'running' order by r.started_at limit 1 for update skip locked;
    run := coalesce(run, public.patchbay_retention_begin(organization.id));
    while run ->> 'status' = 'running' and left_over > 0
    loop
      gone := gone - (run ->> 'sessions')::bigint;
      run := public.patchbay_retention_step((run ->> 'id')::uuid, batch);
      gone := gone + (run ->> 'sessions')::bigint;
      left_over := left_over - 1;
    end loop;
  end loop;
  return jsonb_build_object('sessions', gone, 'finished', left_over > 0);
end
$$;

-- ------------------------------------------------------------ erasure
--
-- `pattern` finds a telephone number as people write it (runtime/aftercall/number_forms.py makes it); `•••` takes its place. What
-- stands before and behind costs it milliseconds a row, so `rough`, which holds for all that it finds, is asked first.
create function private.erased(value jsonb, rough text, pattern text) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  if value::text !~ rough then
    return value;
  end if;
  return case jsonb_typeof(value)
    when 'string' then to_jsonb(regexp_replace(value #>> '{}', pattern, '•••', 'g'))
    when 'number' then case when value #>> '{}' ~ pattern then '"•••"'::jsonb else value end
    when 'array' then coalesce((select jsonb_agg(private.erased(e.item, rough, pattern) order by e.n)
                                from jsonb_array_elements(value) with ordinality as e (item, n)), '[]')
    when 'object' then coalesce((select jsonb_object_agg(regexp_replace(e.key, pattern, '•••', 'g'), private.erased(e.item, rough, pattern))
                                 from jsonb_each(value) as e (key, item)), '{}')
    else value end;
end
$$;

create function private.still_runs(session public.call_session) returns boolean language sql stable set search_path = '' as $$
  select session.ended_at is null and (session.started_at > now() - interval '48 hours'
    or exists (select from public.session_event e where e.session_id = session.id and e.recorded_at > now() - interval '48 hours'))
$$;

-- The sessions that are the person's by their own columns. `own`: the number is one that the organization itself answers.
create function public.patchbay_erase_sessions(organization_id uuid, number text, rough text, pattern text) returns jsonb language sql stable
security definer set search_path = '' as $$
  select jsonb_build_object(
    'own', exists (select from public.phone_number n where n.organization_id = $1 and n.number = $2),
    'sessions', (select coalesce(jsonb_agg(s.id), '[]') from public.call_session s
                 where s.organization_id = $1
                   and case when concat_ws(' ', s.from_number, '|', s.to_number, '|', s.room, '|', s.external_session_id) ~ $3
                       then s.from_number ~ $4 or s.to_number ~ $4 or s.room ~ $4 or s.external_session_id ~ $4 end))
$$;

-- One page of the events, oldest first: which sessions are the person's by their first event, and which events hold the number.
create function public.patchbay_erase_scan(organization_id uuid, rough text, pattern text, at timestamptz, id bigint, most integer)
returns jsonb language sql stable security definer set search_path = '' as $$
  with page as materialized (
    select e.id, e.session_id, e.occurred_at, e.event_type, e.payload from public.session_event e
    where e.organization_id = $1 and e.occurred_at >= $4 and (e.occurred_at, e.id) > ($4, $5)
    order by e.occurred_at, e.id limit $6
  ), found as materialized (
    select * from page p where case when p.payload::text ~ $2 then p.payload::text ~ $3 end
  )
  select jsonb_build_object(
    'scanned', (select count(*) from page),
    'last', (select jsonb_build_object('at', p.occurred_at, 'id', p.id) from page p order by p.occurred_at desc, p.id desc limit 1),
    'sessions', (select coalesce(jsonb_agg(distinct f.session_id), '[]') from found f
                 where f.event_type = 'call_started' and (f.payload ->> 'caller' ~ $3 or f.payload ->> 'dialled' ~ $3)),
    'mentions', (select coalesce(jsonb_agg(jsonb_build_array(f.id, f.session_id)), '[]') from found f))
$$;

-- Which of these sessions still run, and how many events they all have.
create function public.patchbay_erase_state(organization_id uuid, sessions uuid[]) returns jsonb language sql stable security definer
set search_path = '' as $$
  select jsonb_build_object(
    'running', (select coalesce(jsonb_agg(s.id), '[]') from public.call_session s
                where s.organization_id = $1 and s.id = any ($2) and private.still_runs(s)),
    'known', (select coalesce(jsonb_agg(s.id), '[]') from public.call_session s where s.organization_id = $1 and s.id = any ($2)),
    'events', (select count(*) from public.session_event e where e.session_id = any ($2)))
$$;

-- Whole sessions with everything that hangs on them and every fact of them; those that run are left. Counts by table.
create function public.patchbay_erase_delete(organization_id uuid, sessions uuid[]) returns jsonb language plpgsql security definer
set search_path = '' as $$
declare
  chosen uuid[] := array(select s.id from public.call_session s
                         where s.organization_id = $1 and s.id = any ($2) and not private.still_runs(s) for update);
  t text;
  gone bigint;
  counts jsonb := '{}';
begin
  -- Facts first: with the session gone nothing would say that they were its.
  for t in
    select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'session_id' and not a.attisdropped
    where n.nspname = 'public' and c.relkind = 'r' and c.relname = any (patchbay.own_tables())
    order by c.relname
  loop
    execute format('delete from public.%I where session_id = any ($1)', t) using chosen;
    get diagnostics gone = row_count;
    counts := counts || jsonb_build_object(t, gone);
  end loop;
  delete from public.call_session s where s.id = any (chosen);
  return counts || jsonb_build_object('call_session', cardinality(chosen));
end
$$;

create function public.patchbay_erase_mentions(organization_id uuid, rough text, pattern text, ids bigint[]) returns jsonb language plpgsql
security definer set search_path = '' as $$
declare
  changed integer;
begin
  update public.session_event e set payload = private.erased(e.payload, $2, $3)
  where e.organization_id = $1 and e.id = any ($4) and case when e.payload::text ~ $2 then e.payload::text ~ $3 end;
  get diagnostics changed = row_count;
  return to_jsonb(changed);
end
$$;

-- The other records: `masked` counts the rows in which the number was (or would be) covered, by table and column. What builders
-- wrote is not touched, for calls run on it: `kept` names up to ten rows each. Facts and totals hold nothing of the kind.
-- `sessions` are about to go, and are not counted by a dry run.
create function public.patchbay_erase_rows(organization_id uuid, rough text, pattern text, dry_run boolean, sessions uuid[]) returns jsonb language plpgsql
security definer set search_path = '' as $$
declare
  designed constant text[] := array['workflow', 'workflow_version', 'workspace_variable', 'phone_number', 'api_key', 'knowledge_base',
    'knowledge_document', 'knowledge_chunk'];
  left_alone constant text[] := array['session_event', 'agent_node', 'agent_tool', 'agent_path', 'path_variable', 'daily_total'];
  c record;
  held text;
  hits bigint;
  named jsonb;
  masked jsonb := '{}';
  kept jsonb := '{}';
begin
  for c in
    select t.relname as name, a.attname as field, a.atttypid in ('json'::regtype, 'jsonb'::regtype) as is_json,
           a.atttypid = 'json'::regtype as is_plain_json
    from pg_catalog.pg_class t
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    where n.nspname = 'public' and t.relkind = 'r' and t.relname = any (patchbay.own_tables()) and t.relname <> all (left_alone)
      and t.relname not like '%\_fact' and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype)
      and (t.relname, a.attname) not in (('call_session', 'from_number'), ('call_session', 'to_number'))
      and exists (select from pg_catalog.pg_attribute o where o.attrelid = t.oid and o.attname = 'organization_id')
    order by 1, 2
  loop
    held := format('organization_id = $1 and case when %1$I::text ~ $2 then %1$I::text ~ $3 end', c.field);
    if c.name = any (designed) then
      execute format('select jsonb_agg(d.id) from (select id::text from public.%I where %s order by 1 limit 10) d', c.name, held)
        into named using $1, $2, $3;
      kept := kept || case when named is null then '{}' else jsonb_build_object(c.name || '.' || c.field, named) end;
      continue;
    end if;
    if dry_run then
      execute format('select count(*) from public.%I t where %s and ((to_jsonb(t) ->> %L)::uuid = any ($4)) is not true', c.name, held,
                     case c.name when 'call_session' then 'id' else 'session_id' end) into hits using $1, $2, $3, $5;
    else
      execute format('update public.%I set %I = %s where %s', c.name, c.field,
                     case when c.is_plain_json then format('private.erased(%I::jsonb, $2, $3)::json', c.field)
                          when c.is_json then format('private.erased(%I, $2, $3)', c.field)
                          else format($f$regexp_replace(%I, $3, '•••', 'g')$f$, c.field) end, held) using $1, $2, $3;
      get diagnostics hits = row_count;
    end if;
    masked := masked || case when hits > 0 then jsonb_build_object(c.name || '.' || c.field, hits) else '{}' end;
  end loop;
  return jsonb_build_object('masked', masked, 'kept', kept);
end
$$;

-- Answers are encrypted, so nobody can look into them: all that were given to the organization's users and keys go, and those of
-- users and keys that are no more.
create function public.patchbay_erase_answers(organization_id uuid) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  gone integer;
begin
  delete from public.idempotency_key k
  where k.answer is not null
    and not exists (select from public.organization_member m where k.actor = 'user:' || m.user_id::text
                    and not exists (select from public.organization_member o where o.user_id = m.user_id and o.organization_id = $1))
    and not exists (select from public.api_key a where k.actor = 'api_key:' || a.id::text and a.organization_id <> $1);
  get diagnostics gone = row_count;
  return to_jsonb(gone);
end
$$;

-- The record says that somebody was erased, never who: `hash` can be compared by whoever holds the key and the number. The planner's
-- statistics keep samples of what was there, so they are made anew.
create function public.patchbay_erase_record(organization_id uuid, hash text, counts jsonb, entry bigint default null)
returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  told bigint := entry;
begin
  if told is null then
    insert into public.audit_log (organization_id, actor_kind, action, table_name, row_id, after)
    values ($1, 'service', 'erase', 'caller', $2, $3) returning id into told;
  else
    update public.audit_log a set after = $3 where a.id = told and a.organization_id = $1 and a.action = 'erase';
    analyze public.call_session, public.session_event, public.test_session, public.webhook_delivery, public.after_call, public.audit_log;
  end if;
  return to_jsonb(told);
end
$$;

-- ------------------------------------------------------------ who may

do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'public' and (p.proname like 'patchbay\_retention\_%' or p.proname like 'patchbay\_erase\_%')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end
$$;
revoke execute on function private.overdue_sessions(uuid, timestamptz, integer, boolean),
  private.remove_old_rows(uuid, timestamptz, timestamptz, integer), private.erased(jsonb, text, text), private.still_runs(public.call_session) from public;

-- Who connects becomes `service_role` for a transaction of the service's.
do $$
begin
  if not pg_catalog.pg_has_role(current_user, 'service_role', 'member') then
    execute format('grant service_role to %I', current_user);
  end if;
exception
  when insufficient_privilege or unique_violation then
    raise notice 'service_role could not be granted: let an administrator run: grant service_role to %', current_user;
end
$$;

notify pgrst, 'reload schema';
