-- The store over Supabase's own API: one function for each thing a worker asks, since PostgREST makes a transaction of each
-- request. They do what `runtime/store/queries.py` says in SQL, and answer with one JSON value, which `max_rows` does not cut.
-- All run as whoever calls, and that is the service role alone. A later migration may replace one, but never takes an
-- argument or a key of the answer away: the release before goes on using it.

-- The oldest migration a release has to know to run on this schema. A migration that breaks older releases replaces it.
create function patchbay.oldest_release() returns text language sql immutable set search_path = '' as $$
  select '20261122100300'
$$;

-- What is applied, with the name of each, and what tells this database from any other. Definer: the records are the migrator's.
create function public.patchbay_store_schema() returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  applied jsonb := '{}';
  server text;
begin
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    execute $q$select coalesce(jsonb_object_agg(m.version, to_jsonb(m) ->> 'name'), '{}') from supabase_migrations.schema_migrations m$q$ into applied;
  end if;
  begin
    select c.system_identifier::text into server from pg_catalog.pg_control_system() c;
  exception
    when insufficient_privilege then
      null;
  end;
  return jsonb_build_object('applied', applied, 'oldest_release', patchbay.oldest_release(),
    'server', server, 'database', current_database());
end
$$;

-- ------------------------------------------------------------ organizations, workflows, versions

-- Names need not be unique (two tenants may both be called Acme), so two makers of one name wait for each other.
create function public.patchbay_store_organization(name text) returns jsonb language plpgsql set search_path = '' as $$
declare
  found_row public.organization;
begin
  for attempt in 1..2 loop
    select o.* into found_row from public.organization o
      where o.id::text = patchbay_store_organization.name or o.name = patchbay_store_organization.name
      order by o.id::text = patchbay_store_organization.name desc, o.created_at, o.id limit 1;
    exit when found_row.id is not null;
    if attempt = 1 then
      perform pg_advisory_xact_lock(hashtextextended('patchbay organization ' || patchbay_store_organization.name, 0));
    else
      insert into public.organization (name) values (patchbay_store_organization.name) returning * into found_row;
    end if;
  end loop;
  return jsonb_build_object('id', found_row.id, 'name', found_row.name);
end
$$;

create function public.patchbay_store_version(version_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('id', v.id, 'workflow_id', v.workflow_id, 'workflow_name', w.name, 'organization_id', v.organization_id,
    'version', v.version, 'status', v.status, 'config', v.config, 'created_at', v.created_at, 'published_at', v.published_at)
  from public.workflow_version v join public.workflow w on w.id = v.workflow_id where v.id = $1
$$;

-- The functions below read what the one before them wrote in the same request: hence `volatile` and plpgsql.
create function public.patchbay_store_save_draft(organization_id uuid, workflow_name text, config jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
  saved uuid := (public.save_draft($1, $2, $3)).id;
begin
  return public.patchbay_store_version(saved);
end
$$;

create function public.patchbay_store_publish(version_id uuid) returns jsonb language plpgsql set search_path = '' as $$
begin
  perform public.publish_version($1);
  return public.patchbay_store_version($1);
end
$$;

create function public.patchbay_store_workflow_id(organization_id uuid, workflow text) returns uuid language sql stable set search_path = '' as $$
  select w.id from public.workflow w
  where w.organization_id = $1 and (w.id::text = $2 or w.name = $2) order by w.id::text = $2 desc limit 1
$$;

-- Null where there is no such workflow.
create function public.patchbay_store_versions(organization_id uuid, workflow text) returns jsonb language sql stable set search_path = '' as $$
  select (
    select coalesce(jsonb_agg(public.patchbay_store_version(v.id) order by v.version desc), '[]')
    from public.workflow_version v where v.workflow_id = f.id
  )
  from (select public.patchbay_store_workflow_id($1, $2) as id) f where f.id is not null
$$;

-- Null where there is no such workflow; `published` is null where no version is, and `versions` are the numbers there are.
create function public.patchbay_store_published(organization_id uuid, workflow text) returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'published', (select public.patchbay_store_version(v.id) from public.workflow_version v where v.workflow_id = f.id and v.status = 'published'),
    'versions', (select coalesce(jsonb_agg(v.version), '[]') from public.workflow_version v where v.workflow_id = f.id))
  from (select public.patchbay_store_workflow_id($1, $2) as id) f where f.id is not null
$$;

create function public.patchbay_store_workflows(organization_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.name), '[]') from (
    select w.id, w.organization_id, w.name, w.description, max(v.version) as latest_version,
           max(v.version) filter (where v.status = 'published') as published_version, w.created_at, w.updated_at
    from public.workflow w left join public.workflow_version v on v.workflow_id = w.id
    where w.organization_id = $1 group by w.id
  ) t
$$;

-- ------------------------------------------------------------ workspace variables

create function public.patchbay_store_set_variable(organization_id uuid, name text, value text, is_secret boolean)
returns jsonb language sql set search_path = '' as $$
  insert into public.workspace_variable as w (organization_id, name, value, secret)
  values ($1, $2, case when $4 then null else $3 end, case when $4 then $3 end)
  on conflict (organization_id, name) do update set value = excluded.value, secret = excluded.secret
  returning to_jsonb(true)
$$;

create function public.patchbay_store_remove_variable(organization_id uuid, name text) returns jsonb language sql set search_path = '' as $$
  delete from public.workspace_variable w where w.organization_id = $1 and w.name = $2 returning to_jsonb(true)
$$;

create function public.patchbay_store_replace_secret(organization_id uuid, name text, old text, new text)
returns jsonb language sql set search_path = '' as $$
  update public.workspace_variable w set secret = $4
  where w.organization_id = $1 and w.name = $2 and w.secret = $3 returning to_jsonb(true)
$$;

create function public.patchbay_store_variables(organization_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('name', w.name, 'value', coalesce(w.secret, w.value), 'is_secret', w.is_secret,
    'updated_at', w.updated_at) order by w.name), '[]')
  from public.workspace_variable w where w.organization_id = $1
$$;

-- ------------------------------------------------------------ numbers, limits, the directory

-- Of one organization, of one number, or of all where null.
create function public.patchbay_store_numbers(organization_id uuid default null, number text default null)
returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('number', n.number, 'organization_id', n.organization_id, 'workflow_id', n.workflow_id,
    'workflow_name', w.name, 'is_default', n.is_default, 'description', n.description) order by n.number, n.organization_id), '[]')
  from public.phone_number n left join public.workflow w on w.id = n.workflow_id
  where ($1 is null or n.organization_id = $1) and ($2 is null or n.number = $2)
$$;

-- Null where there is no such workflow.
create function public.patchbay_store_set_number(organization_id uuid, number text, workflow text, description text default null)
returns jsonb language plpgsql set search_path = '' as $$
declare
  chosen uuid := public.patchbay_store_workflow_id($1, $3);
begin
  if chosen is null then
    return null;
  end if;
  insert into public.phone_number as n (organization_id, number, workflow_id, description) values ($1, $2, chosen, $4)
  on conflict on constraint phone_number_organization_id_number_key do update
  set workflow_id = excluded.workflow_id, description = coalesce(excluded.description, n.description);
  return public.patchbay_store_numbers($1, $2) -> 0;
end
$$;

create function public.patchbay_store_remove_number(organization_id uuid, number text) returns jsonb language sql set search_path = '' as $$
  delete from public.phone_number n where n.organization_id = $1 and n.number = $2 returning to_jsonb(true)
$$;

-- False where there is no such workflow, null where there is no such organization.
create function public.patchbay_store_set_default_workflow(organization_id uuid, workflow text default null)
returns jsonb language plpgsql set search_path = '' as $$
declare
  chosen uuid := public.patchbay_store_workflow_id($1, $2);
begin
  if workflow is not null and chosen is null then
    return to_jsonb(false);
  end if;
  update public.organization o set default_workflow_id = chosen where o.id = $1;
  return case when found then to_jsonb(true) end;
end
$$;

create function public.patchbay_store_set_limits(organization_id uuid, max_concurrent_calls integer, max_minutes_a_day integer, dial_prefixes text[])
returns jsonb language sql set search_path = '' as $$
  update public.organization o set max_concurrent_calls = $2, max_minutes_a_day = $3, dial_prefixes = $4
  where o.id = $1 returning to_jsonb(true)
$$;

create function public.patchbay_store_load(organization_id uuid) returns jsonb language sql stable set search_path = '' as $$
  with today as (select date_trunc('day', now(), 'UTC') as midnight), counted as (
    select s.ended_at, greatest(coalesce(s.answered_at, s.started_at), today.midnight) as from_at
    from today, public.call_session s left join public.workflow_version v on v.id = s.workflow_version_id
    where s.organization_id = $1 and not s.is_test and s.worker_id is not null
      and s.started_at > now() - interval '24 hours' and coalesce(s.ended_at, now()) >= today.midnight
      and (s.ended_at is not null or s.started_at > now() - make_interval(secs => 600 + case
            when jsonb_typeof(v.config #> '{session,max_duration_s}') = 'number'
            then least((v.config #>> '{session,max_duration_s}')::float8, 86400) else 3600 end))
  )
  select jsonb_build_object(
    'active_calls', count(*) filter (where c.ended_at is null),
    'minutes_today', coalesce(sum(greatest(extract(epoch from coalesce(c.ended_at, now()) - c.from_at), 0)), 0)::float8 / 60)
  from counted c
$$;

-- One statement: it sees one moment of the database.
create function public.patchbay_store_directory() returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'organizations', (
      select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'default_workflow_id', o.default_workflow_id,
        'default_workflow_name', w.name, 'max_concurrent_calls', o.max_concurrent_calls, 'max_minutes_a_day', o.max_minutes_a_day,
        'dial_prefixes', o.dial_prefixes)), '[]')
      from public.organization o left join public.workflow w on w.id = o.default_workflow_id),
    'numbers', public.patchbay_store_numbers(),
    'published', (
      select coalesce(jsonb_agg(jsonb_build_object('workflow_id', v.workflow_id, 'workflow_name', w.name,
        'organization_id', v.organization_id, 'version_id', v.id, 'version', v.version)), '[]')
      from public.workflow_version v join public.workflow w on w.id = v.workflow_id where v.status = 'published'))
$$;

-- ------------------------------------------------------------ calls, events, tests

create function public.patchbay_store_open_call(call jsonb) returns jsonb language sql set search_path = '' as $$
  insert into public.call_session (id, organization_id, workflow_version_id, channel, direction, is_test, started_at, external_session_id,
    from_number, to_number, worker_id, runtime_version, room, answered_at, ended_at, status, end_reason, cost, variables)
  select c.id, c.organization_id, c.workflow_version_id, c.channel, c.direction, c.is_test, c.started_at, c.external_session_id,
    c.from_number, c.to_number, c.worker_id, c.runtime_version, c.room, c.answered_at, c.ended_at, c.status, c.end_reason, c.cost, c.variables
  from jsonb_to_record($1) as c (id uuid, organization_id uuid, workflow_version_id uuid, channel text, direction text, is_test boolean,
    started_at timestamptz, external_session_id text, from_number text, to_number text, worker_id text, runtime_version text, room text,
    answered_at timestamptz, ended_at timestamptz, status text, end_reason text, cost float8, variables jsonb)
  on conflict (id) do nothing;
  select to_jsonb(true)
$$;

-- Secrets are for calls that run: `for share` waits for a close that is under way, and then finds the call ended.
create function public.patchbay_store_append(events jsonb) returns jsonb language sql set search_path = '' as $$
  with given as materialized (
    select * from jsonb_to_recordset($1) as g (session_id uuid, organization_id uuid, seq integer, event_type text, payload jsonb,
      agent_id text, occurred_at timestamptz, secret text)
  ), running as (
    select s.id from public.call_session s
    where s.ended_at is null and s.id in (select g.session_id from given g where g.secret is not null) for share
  ), secrets as (
    insert into public.call_secret (session_id, seq, ciphertext)
    select g.session_id, g.seq, g.secret from given g where g.secret is not null and g.session_id in (select r.id from running r)
    on conflict do nothing
  )
  insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
  select g.session_id, g.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at from given g
  on conflict (session_id, seq) do nothing;
  select to_jsonb(true)
$$;

create function public.patchbay_store_close_call(call jsonb) returns jsonb language sql set search_path = '' as $$
  update public.call_session s
  set ended_at = coalesce(c.ended_at, s.ended_at, now()), status = c.status, end_reason = c.end_reason, variables = c.variables,
      answered_at = c.answered_at, cost = c.cost
  from jsonb_to_record($1) as c (id uuid, ended_at timestamptz, status text, end_reason text, variables jsonb, answered_at timestamptz, cost float8)
  where s.id = c.id returning to_jsonb(true)
$$;

create function public.patchbay_store_save_analysis(session_id uuid, analysis jsonb) returns jsonb language sql set search_path = '' as $$
  update public.call_session s set analysis = $2 where s.id = $1 returning to_jsonb(true)
$$;

create function public.patchbay_store_call(session_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select to_jsonb(s) from public.call_session s where s.id = $1
$$;

create function public.patchbay_store_calls(organization_id uuid, most integer, tests boolean) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.started_at desc, t.id), '[]') from (
    select s.* from public.call_session s where s.organization_id = $1 and ($3 or not s.is_test) order by s.started_at desc, s.id limit $2
  ) t
$$;

create function public.patchbay_store_events(session_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('session_id', e.session_id, 'organization_id', e.organization_id, 'seq', e.seq,
    'event_type', e.event_type, 'payload', e.payload, 'agent_id', e.agent_id, 'occurred_at', e.occurred_at, 'secret', s.ciphertext) order by e.seq), '[]')
  from public.session_event e left join public.call_secret s on s.session_id = e.session_id and s.seq = e.seq
  where e.session_id = $1
$$;

create function public.patchbay_store_save_test(test jsonb) returns jsonb language sql set search_path = '' as $$
  insert into public.test_session (id, organization_id, workflow_version_id, session_id, transcript, created_at)
  select t.id, t.organization_id, t.workflow_version_id, t.session_id, t.transcript, t.created_at
  from jsonb_to_record($1) as t (id uuid, organization_id uuid, workflow_version_id uuid, session_id uuid, transcript jsonb, created_at timestamptz)
  on conflict (id) do update set session_id = excluded.session_id, transcript = excluded.transcript,
    workflow_version_id = excluded.workflow_version_id, created_at = excluded.created_at
  returning to_jsonb(true)
$$;

create function public.patchbay_store_tests(organization_id uuid, most integer) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.created_at desc, t.id), '[]') from (
    select s.* from public.test_session s where s.organization_id = $1 order by s.created_at desc, s.id limit $2
  ) t
$$;

-- ------------------------------------------------------------ the work after calls

-- A `with` that locks is never folded into the update; as a subquery of `in` it could be run more than once, and lock more.
create function public.patchbay_store_claim_after_call(at timestamptz, until timestamptz, session_id uuid default null)
returns jsonb language sql set search_path = '' as $$
  with due as (
    select c.session_id from public.after_call c
    where c.status = 'pending' and (c.leased_until is null or c.leased_until <= $1)
      and c.due_at <= case when $3 is null then $1 else 'infinity' end and ($3 is null or c.session_id = $3)
    order by c.due_at limit 1 for update skip locked
  )
  update public.after_call a set leased_until = $2, attempts = a.attempts + 1
  from due where a.session_id = due.session_id returning to_jsonb(a)
$$;

create function public.patchbay_store_finish_after_call(session_id uuid, leased_until timestamptz, names text[], at timestamptz)
returns jsonb language sql set search_path = '' as $$
  with done as (
    update public.after_call a set status = 'done', leased_until = null, last_error = null
    where a.session_id = $1 and a.status = 'pending' and a.leased_until = $2 returning a.session_id, a.organization_id
  )
  insert into public.webhook_delivery (session_id, organization_id, tool_index, name, due_at, created_at)
  select done.session_id, done.organization_id, each.number - 1, each.name, $4, $4
  from done cross join unnest($3) with ordinality as each (name, number)
  on conflict (session_id, tool_index) do nothing;
  select to_jsonb(true)
$$;

create function public.patchbay_store_postpone_after_call(session_id uuid, leased_until timestamptz, status text, due_at timestamptz, last_error text)
returns jsonb language sql set search_path = '' as $$
  update public.after_call a set status = $3, due_at = $4, last_error = $5, leased_until = null
  where a.session_id = $1 and a.status = 'pending' and a.leased_until = $2 returning to_jsonb(true)
$$;

create function public.patchbay_store_claim_delivery(at timestamptz, until timestamptz, delivery_id uuid, busy uuid[])
returns jsonb language sql set search_path = '' as $$
  with due as (
    select w.id from public.webhook_delivery w
    where w.status = 'pending' and (w.leased_until is null or w.leased_until <= $1) and w.organization_id <> all ($4)
      and w.due_at <= case when $3 is null then $1 else 'infinity' end and ($3 is null or w.id = $3)
    order by w.due_at limit 1 for update skip locked
  )
  update public.webhook_delivery d set leased_until = $2, attempts = d.attempts + 1, last_attempt_at = $1
  from due where d.id = due.id returning to_jsonb(d)
$$;

create function public.patchbay_store_settle_delivery(delivery jsonb) returns jsonb language sql set search_path = '' as $$
  update public.webhook_delivery d
  set status = g.status, due_at = g.due_at, delivered_at = g.delivered_at, last_status = g.last_status, last_error = g.last_error, leased_until = null
  from jsonb_to_record($1) as g (id uuid, leased_until timestamptz, status text, due_at timestamptz, delivered_at timestamptz,
    last_status integer, last_error text)
  where d.id = g.id and (d.leased_until = g.leased_until or g.status = 'delivered') returning to_jsonb(true)
$$;

create function public.patchbay_store_revive_delivery(delivery_id uuid, at timestamptz) returns jsonb language sql set search_path = '' as $$
  update public.webhook_delivery d set status = 'pending', attempts = 0, due_at = $2, leased_until = null
  where d.id = $1 and (d.leased_until is null or d.leased_until <= $2) returning to_jsonb(true)
$$;

create function public.patchbay_store_delivery(delivery_id uuid) returns jsonb language sql stable set search_path = '' as $$
  select to_jsonb(d) from public.webhook_delivery d where d.id = $1
$$;

create function public.patchbay_store_deliveries(organization_id uuid, status text, session_id uuid, most integer)
returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.created_at desc, t.session_id, t.tool_index), '[]') from (
    select d.* from public.webhook_delivery d
    where d.organization_id = $1 and ($2 is null or d.status = $2) and ($3 is null or d.session_id = $3)
    order by d.created_at desc, d.session_id, d.tool_index limit $4
  ) t
$$;

-- ------------------------------------------------------------ tools

-- A tool's query for whoever holds the service role's key and no secret to sign tokens with: it becomes patchbay_tool for as
-- long as the query lasts, with the organization as its claim. PostgREST takes the deadline over for the whole request.
create function public.patchbay_tool_select(organization_id uuid, query jsonb) returns jsonb language plpgsql stable
set search_path = '' set statement_timeout = '30s' as $$
declare
  was text := current_setting('role');
  claims text := current_setting('request.jwt.claims', true);
  result jsonb;
begin
  perform set_config('request.jwt.claims', jsonb_build_object('role', 'patchbay_tool', 'organization_id', organization_id)::text, true);
  perform set_config('role', 'patchbay_tool', true);
  execute 'select public.patchbay_select($1)' into result using query;
  perform set_config('role', was, true), set_config('request.jwt.claims', coalesce(claims, ''), true);
  return result;
end
$$;

create function public.patchbay_tool_rpc(organization_id uuid, called text, arguments jsonb) returns jsonb language plpgsql volatile
set search_path = '' set statement_timeout = '30s' as $$
declare
  was text := current_setting('role');
  claims text := current_setting('request.jwt.claims', true);
  result jsonb;
begin
  perform set_config('request.jwt.claims', jsonb_build_object('role', 'patchbay_tool', 'organization_id', organization_id)::text, true);
  perform set_config('role', 'patchbay_tool', true);
  execute 'select public.patchbay_rpc($1, $2)' into result using called, arguments;
  perform set_config('role', was, true), set_config('request.jwt.claims', coalesce(claims, ''), true);
  return result;
end
$$;

-- Hosted Supabase lets everyone execute new functions: the service role alone may.
do $$
declare
  f regprocedure;
begin
  for f in
    select p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'public' and (p.proname like 'patchbay\_store\_%' or p.proname in ('patchbay_tool_select', 'patchbay_tool_rpc'))
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', f);
    execute format('grant execute on function %s to service_role', f);
  end loop;
end
$$;
revoke execute on function patchbay.oldest_release() from public;
grant execute on function patchbay.oldest_release() to service_role;

-- PostgREST learns of new functions by this; where it does not listen it has to be restarted.
notify pgrst, 'reload schema';
