-- How facts are added to the daily totals, and when all of this is done.

create type private.contribution as (
  session_id uuid, subject text, agent_id text, agent_name text, key jsonb, counts bigint[], histogram bigint[], cost numeric
);

-- What the facts of these calls add to the daily totals, a row for each call and thing that is counted.
create function private.contributions_of(sessions uuid[]) returns setof private.contribution language plpgsql stable set search_path = '' as $$
begin
  return query
  -- call: calls, completed, dropped, turns, duration_ms, paths taken, refusals, tool runs, tool failures, calls with a cost; response times
  select c.session_id, 'call', null::text, null::text, '{}'::jsonb,
         array[1, (c.status = 'completed')::integer, (c.status = 'dropped')::integer, c.turns, c.duration_ms, c.paths_taken, c.refusals,
               c.tool_runs, c.tool_failures, (c.cost is not null)::integer]::bigint[],
         t.histogram, c.cost
  from public.call_fact c
  left join (select session_id, private.histogram(array_agg(response_ms)) as histogram from public.turn_fact
             where session_id = any (sessions) group by session_id) t on t.session_id = c.session_id
  where c.session_id = any (sessions)
  union all
  -- agent: entered, left by path, transferred, hung up, ended, dropped, turns; dwell times
  select session_id, 'agent', agent_id, agent_name, '{}',
         array[count(*), count(*) filter (where left_by = 'path'), count(*) filter (where left_by = 'transfer'),
               count(*) filter (where left_by = 'hung_up'), count(*) filter (where left_by = 'ended'),
               count(*) filter (where left_by = 'dropped'), coalesce(sum(turns), 0)]::bigint[],
         private.histogram(array_agg(dwell_ms)), null
  from public.stay_fact where session_id = any (sessions) group by session_id, agent_id, agent_name
  union all
  -- path: requested, taken, refused
  select session_id, 'path', agent_id, agent_name, jsonb_build_object('path_id', path_id, 'path_name', path_name),
         array[count(*), count(*) filter (where outcome = 'taken'), count(*) filter (where outcome = 'refused')], null, null
  from public.path_fact where session_id = any (sessions) group by session_id, agent_id, agent_name, path_id, path_name
  union all
  -- refusal: refusals, one row for each variable they name
  select f.session_id, 'refusal', f.agent_id, f.agent_name,
         jsonb_build_object('path_id', f.path_id, 'path_name', f.path_name, 'reason', f.reason, 'variable', n.name, 'problem', n.problem, 'why', n.why),
         array[count(*)], null, null
  from public.path_fact f
  left join lateral (
    select m.name, 'missing' as problem, null as why from unnest(f.missing) as m (name)
    union all select u.name, 'unconfirmed', null from unnest(f.unconfirmed) as u (name)
    union all select i.name, 'invalid', i.why from unnest(f.invalid, f.invalid_why) as i (name, why)
  ) n on true
  where f.session_id = any (sessions) and f.outcome = 'refused'
  group by f.session_id, f.agent_id, f.agent_name, f.path_id, f.path_name, f.reason, n.name, n.problem, n.why
  union all
  -- variable: calls, collected, asks, attempts, rejected, withdrawn, corrected, confirmed; times to collect
  select session_id, 'variable', null, null, jsonb_build_object('name', name, 'data_type', data_type),
         array[1, is_collected::integer, asks, attempts, rejected, withdrawn, corrected, confirmed]::bigint[],
         private.histogram(array[collect_ms]), null
  from public.variable_fact where session_id = any (sessions)
  union all
  -- tool: runs, succeeded, failed, timed out; durations
  select session_id, 'tool', agent_id, agent_name, jsonb_build_object('tool_type', tool_type, 'name', name, 'mocked', mocked),
         array[count(*), count(*) filter (where ok), count(*) filter (where ok is false), count(*) filter (where error_code = 'timeout')],
         private.histogram(array_agg(duration_ms)), null
  from public.tool_fact where session_id = any (sessions) group by session_id, agent_id, agent_name, tool_type, name, mocked
  union all
  -- turn: turns, interrupted; latencies
  select f.session_id, 'turn', f.agent_id, f.agent_name, jsonb_build_object('component', m.component),
         array[count(*), count(*) filter (where f.interrupted)], private.histogram(array_agg(m.ms)), null
  from public.turn_fact f
  cross join lateral (values ('stt_delay', f.stt_delay_ms), ('eou_delay', f.eou_delay_ms), ('llm_ttft', f.llm_ttft_ms),
                             ('tts_ttfb', f.tts_ttfb_ms), ('response', f.response_ms)) as m (component, ms)
  where f.session_id = any (sessions) and m.ms is not null group by f.session_id, f.agent_id, f.agent_name, m.component
  union all
  -- usage: calls, input, cached and output tokens, characters, milliseconds of audio, calls with a cost
  select session_id, 'usage', null, null, jsonb_build_object('provider', provider, 'model', model, 'kind', kind, 'currency', currency),
         array[1, sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(characters), sum(audio_ms), (count(cost) > 0)::integer]::bigint[],
         null, sum(cost)
  from public.usage_fact where session_id = any (sessions) group by session_id, provider, model, kind, currency;
end
$$;

-- The totals of these calls, `sign` 1 or -1, by `id`.
create function private.totals_of(sessions uuid[], sign integer) returns setof public.daily_total language plpgsql stable set search_path = '' as $$
begin
  return query
  select md5(jsonb_build_array(c.organization_id, c.day, c.workflow_version_id, c.channel, c.is_test, n.subject, n.agent_id, n.agent_name, n.key)::text)::uuid,
         c.organization_id, c.day, c.workflow_id, c.workflow_version_id, c.version, c.channel, c.is_test, n.subject, n.agent_id, n.agent_name, n.key,
         case sign when 1 then n.counts else private.negated(n.counts) end,
         case sign when 1 then n.histogram else private.negated(n.histogram) end, sign * n.cost, null::float8[]
  from private.contributions_of(sessions) n join public.call_fact c on c.session_id = n.session_id;
end
$$;

-- In the order of `id`, so that calls that end at the same time wait for each other and never deadlock; and nearly always the row is
-- there, which an `insert … on conflict` would find out only after it had worked everything out for a new one.
create function private.add_totals(totals public.daily_total[]) returns void language plpgsql set search_path = '' as $$
declare
  t public.daily_total;
begin
  for t in
    select u.id, u.organization_id, u.day, u.workflow_id, u.workflow_version_id, u.version, u.channel, u.is_test, u.subject, u.agent_id,
           u.agent_name, u.key, private.sum_of(array_agg(row(u.counts)::private.tally)), private.sum_of(array_agg(row(u.histogram)::private.tally)), sum(u.cost), null
    from unnest(totals) u
    group by u.id, u.organization_id, u.day, u.workflow_id, u.workflow_version_id, u.version, u.channel, u.is_test, u.subject, u.agent_id,
             u.agent_name, u.key
    order by u.id
  loop
    update public.daily_total d
    set counts = private.added(d.counts, t.counts), histogram = private.added(d.histogram, t.histogram),
        cost = case when d.cost is null then t.cost else d.cost + coalesce(t.cost, 0) end
    where d.id = t.id;
    continue when found;
    insert into public.daily_total as d (id, organization_id, day, workflow_id, workflow_version_id, version, channel, is_test, subject,
      agent_id, agent_name, key, counts, histogram, cost)
    values (t.id, t.organization_id, t.day, t.workflow_id, t.workflow_version_id, t.version, t.channel, t.is_test, t.subject,
            t.agent_id, t.agent_name, t.key, t.counts, t.histogram, t.cost)
    on conflict (id) do update
    set counts = private.added(d.counts, excluded.counts), histogram = private.added(d.histogram, excluded.histogram),
        cost = case when d.cost is null then excluded.cost else d.cost + coalesce(excluded.cost, 0) end;
  end loop;
end
$$;

-- When it is done.
--
-- Planning would take longer than running, so plans are made once (`plan_cache_mode`); and one that was made while a table was
-- small would go on reading the whole of it as it grows (`enable_seqscan`, whose penalty would call for `jit`).

create function private.record_facts_of(session uuid) returns void language plpgsql set search_path = '' as $$
declare
  before public.daily_total[] := '{}';
begin
  -- Events only ever go by retention: where there are fewer than before, the facts know more.
  if exists (select from public.call_fact f where f.session_id = session
             and f.events > (select count(*) from public.session_event e where e.session_id = session)) then
    return;
  end if;
  if exists (select from public.call_fact where session_id = session) then
    before := array(select t from private.totals_of(array[session], -1) t);
    delete from public.call_fact where session_id = session;
  end if;
  perform private.write_facts(array[session]);
  perform private.add_totals(before || array(select t from private.totals_of(array[session], 1) t));
  update public.call_session s set cost = f.cost from public.call_fact f
  where s.id = session and s.cost is null and f.session_id = session and f.cost is not null;
end
$$;

-- Write the facts of an ended call anew from its events. A call that is gone keeps the facts it has.
create function patchbay.record_facts(session_id uuid) returns void language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off as $$
begin
  perform from public.call_session s where s.id = record_facts.session_id and s.ended_at is not null for no key update;
  if found then
    perform private.record_facts_of(record_facts.session_id);
  end if;
end
$$;

-- Write the facts of ended calls that have none, newest first, and return how many there were.
create function patchbay.record_missing_facts(at_most integer default 10000) returns integer language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off as $$
declare
  wanted uuid[];
  batch uuid[];
  totals public.daily_total[] := '{}';
begin
  -- A call that is being closed sees to itself.
  select coalesce(array_agg(m.id), '{}') into wanted from (
    select s.id from public.call_session s
    where s.ended_at is not null and not exists (select from public.call_fact f where f.session_id = s.id)
    order by s.started_at desc limit at_most for no key update of s skip locked
  ) m;
  for place in 1 .. cardinality(wanted) by 200
  loop
    batch := wanted[place : place + 199];
    perform private.write_facts(batch);
    totals := totals || array(select t from private.totals_of(batch, 1) t);
    update public.call_session s set cost = f.cost from public.call_fact f
    where s.id = any (batch) and s.cost is null and f.session_id = s.id and f.cost is not null;
  end loop;
  perform private.add_totals(totals);
  return cardinality(wanted);
end
$$;

-- In the transaction that ends the call, which must not fail nor wait for it: what goes wrong here is a warning, and
-- `patchbay.record_missing_facts` makes up for it. Closing again rewrites the facts only where events have come since.
create function private.remember_facts() returns trigger language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off set lock_timeout = '2s' as $$
begin
  if exists (select from public.call_fact f where f.session_id = new.id
             and f.events = (select count(*) from public.session_event e where e.session_id = new.id)) then
    update public.call_session s set cost = f.cost from public.call_fact f
    where s.id = new.id and s.cost is null and f.session_id = new.id and f.cost is not null;
  else
    perform private.record_facts_of(new.id);
  end if;
  return null;
exception
  when others then
    raise warning 'the facts of call % were not written (%)', new.id, sqlstate using hint = 'Run: select patchbay.record_missing_facts()';
    return null;
end
$$;

create trigger call_session_facts_at_end after update of ended_at on public.call_session
  for each row when (new.ended_at is not null) execute function private.remember_facts();
create trigger call_session_facts_at_once after insert on public.call_session
  for each row when (new.ended_at is not null) execute function private.remember_facts();

revoke execute on all functions in schema private from public;
grant execute on function private.added(bigint[], bigint[]), private.sum_of(private.tally[]), private.percentiles(bigint[]) to authenticated, service_role;
revoke execute on function patchbay.record_facts(uuid), patchbay.record_missing_facts(integer) from public;
grant execute on function patchbay.record_facts(uuid), patchbay.record_missing_facts(integer) to service_role;
