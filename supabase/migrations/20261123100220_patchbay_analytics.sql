-- What the endpoint answers with.
create function private.totals_in(wanted uuid, subjects text[], from_day date, to_day date, wanted_channel text, with_tests boolean)
returns public.daily_total[] language sql stable set search_path = '' as $$
  select array(
    select d from public.daily_total d
    where d.workflow_version_id = wanted and d.subject = any (subjects) and d.counts[1] > 0
      and d.day >= coalesce(from_day, '-infinity') and d.day <= coalesce(to_day, 'infinity')
      and (wanted_channel is null or d.channel = wanted_channel) and (with_tests or not d.is_test))
$$;

create function private.calls_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'calls', coalesce(n[1], 0), 'completed', coalesce(n[2], 0), 'dropped', coalesce(n[3], 0), 'completed_share', n[2]::float8 / n[1],
    'duration_avg_ms', round(n[5]::numeric / n[1]), 'turns', coalesce(n[4], 0), 'turns_per_call', n[4]::float8 / n[1],
    'paths_taken', coalesce(n[6], 0), 'refusals', coalesce(n[7], 0), 'tool_runs', coalesce(n[8], 0), 'tool_failures', coalesce(n[9], 0),
    'response_p50_ms', p[1], 'response_p95_ms', p[3], 'priced_calls', coalesce(n[10], 0), 'cost', cost, 'cost_per_call', cost / nullif(n[10], 0))
  from (
    select private.sum_of(array_agg(row(d.counts)::private.tally)) as n, private.percentiles(private.sum_of(array_agg(row(d.histogram)::private.tally))) as p, sum(d.cost) as cost
    from unnest(totals) d where d.subject = 'call'
  ) s
$$;

create function private.agents_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'agent_id', agent_id, 'agent_name', agent_name, 'entered', n[1], 'left_by_path', n[2], 'transferred', n[3], 'hung_up', n[4],
    'ended_there', n[5], 'dropped_there', n[6], 'turns', n[7], 'dwell_p50_ms', p[1], 'dwell_p90_ms', p[2]) order by n[1] desc, agent_name), '[]')
  from (
    select d.agent_id, d.agent_name, private.sum_of(array_agg(row(d.counts)::private.tally)) as n, private.percentiles(private.sum_of(array_agg(row(d.histogram)::private.tally))) as p
    from unnest(totals) d where d.subject = 'agent' group by d.agent_id, d.agent_name
  ) s
$$;

create function private.paths_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  with refused as (
    select d.agent_id, d.agent_name, d.key, sum(d.counts[1]) as refusals
    from unnest(totals) d where d.subject = 'refusal' group by d.agent_id, d.agent_name, d.key
  ), reasons as (
    select agent_id, agent_name, key ->> 'path_id' as path_id, key ->> 'path_name' as path_name,
           jsonb_agg((key - 'path_id' - 'path_name') || jsonb_build_object('refusals', refusals) order by refusals desc, key) as found
    from refused group by 1, 2, 3, 4
  ), paths as (
    select d.agent_id, d.agent_name, d.key ->> 'path_id' as path_id, d.key ->> 'path_name' as path_name,
           sum(d.counts[1]) as requested, sum(d.counts[2]) as taken, sum(d.counts[3]) as refused
    from unnest(totals) d where d.subject = 'path' group by 1, 2, 3, 4
  )
  select coalesce(jsonb_agg(jsonb_build_object(
    'agent_id', p.agent_id, 'agent_name', p.agent_name, 'path_id', p.path_id, 'path_name', p.path_name, 'requested', p.requested,
    'taken', p.taken, 'refused', p.refused, 'taken_share', (p.taken / p.requested)::float8, 'refusals', coalesce(r.found, '[]'))
    order by p.requested desc, p.path_name), '[]')
  from paths p left join reasons r
    on (r.agent_id, r.agent_name, r.path_id, r.path_name) is not distinct from (p.agent_id, p.agent_name, p.path_id, p.path_name)
$$;

create function private.variables_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'variable', key ->> 'name', 'data_type', key ->> 'data_type', 'calls', n[1], 'collected', n[2], 'asks', n[3], 'asks_per_call', n[3]::float8 / n[1],
    'attempts', n[4], 'rejected', n[5], 'withdrawn', n[6], 'corrected', n[7], 'confirmed', n[8], 'collect_p50_ms', p[1], 'collect_p90_ms', p[2])
    order by n[1] desc, key), '[]')
  from (
    select d.key, private.sum_of(array_agg(row(d.counts)::private.tally)) as n, private.percentiles(private.sum_of(array_agg(row(d.histogram)::private.tally))) as p
    from unnest(totals) d where d.subject = 'variable' group by d.key
  ) s
$$;

create function private.tools_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(key || jsonb_build_object(
    'agent_id', agent_id, 'agent_name', agent_name, 'runs', n[1], 'succeeded', n[2], 'failed', n[3], 'timed_out', n[4],
    'success_share', n[2]::float8 / n[1], 'p50_ms', p[1], 'p90_ms', p[2], 'p95_ms', p[3], 'p99_ms', p[4]) order by n[1] desc, agent_name, key), '[]')
  from (
    select d.agent_id, d.agent_name, d.key, private.sum_of(array_agg(row(d.counts)::private.tally)) as n, private.percentiles(private.sum_of(array_agg(row(d.histogram)::private.tally))) as p
    from unnest(totals) d where d.subject = 'tool' group by d.agent_id, d.agent_name, d.key
  ) s
$$;

create function private.latency_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'agent_id', agent_id, 'agent_name', agent_name, 'component', key ->> 'component', 'turns', n[1], 'interrupted', n[2],
    'p50_ms', p[1], 'p90_ms', p[2], 'p95_ms', p[3], 'p99_ms', p[4]) order by agent_name, key), '[]')
  from (
    select d.agent_id, d.agent_name, d.key, private.sum_of(array_agg(row(d.counts)::private.tally)) as n, private.percentiles(private.sum_of(array_agg(row(d.histogram)::private.tally))) as p
    from unnest(totals) d where d.subject = 'turn' group by d.agent_id, d.agent_name, d.key
  ) s
$$;

create function private.costs_of(totals public.daily_total[]) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(key || jsonb_build_object(
    'calls', n[1], 'input_tokens', n[2], 'cached_tokens', n[3], 'output_tokens', n[4], 'characters', n[5], 'audio_seconds', n[6] / 1000.0,
    'priced_calls', n[7], 'cost', cost, 'cost_per_call', cost / nullif(n[7], 0)) order by cost desc nulls last, key), '[]')
  from (
    select d.key, private.sum_of(array_agg(row(d.counts)::private.tally)) as n, sum(d.cost) as cost from unnest(totals) d where d.subject = 'usage' group by d.key
  ) s
$$;

-- What a version's calls came to, as the caller's own policies let it be seen: null for a version that is unknown. Days are in UTC
-- and included; `compare_with` is another version, under the same filters.
create function public.analytics(workflow_version_id uuid, from_day date default null, to_day date default null, channel text default null,
                                 include_tests boolean default false, compare_with uuid default null)
returns jsonb language plpgsql stable set search_path = '' as $$
declare
  ours public.workflow_version;
  other public.workflow_version;
  tests constant boolean := coalesce(include_tests, false);
  answer jsonb;
begin
  select * into ours from public.workflow_version v where v.id = analytics.workflow_version_id;
  if ours.id is null then
    return null;
  end if;
  answer := jsonb_build_object(
    'workflow_version_id', ours.id, 'version', ours.version, 'from', from_day, 'to', to_day, 'channel', analytics.channel,
    'include_tests', tests, 'comparison', null,
    'calls', private.calls_of(private.totals_in(ours.id, '{call}', from_day, to_day, analytics.channel, tests)),
    'agents', private.agents_of(private.totals_in(ours.id, '{agent}', from_day, to_day, analytics.channel, tests)),
    'paths', private.paths_of(private.totals_in(ours.id, '{path,refusal}', from_day, to_day, analytics.channel, tests)),
    'variables', private.variables_of(private.totals_in(ours.id, '{variable}', from_day, to_day, analytics.channel, tests)),
    'tools', private.tools_of(private.totals_in(ours.id, '{tool}', from_day, to_day, analytics.channel, tests)),
    'latency', private.latency_of(private.totals_in(ours.id, '{turn}', from_day, to_day, analytics.channel, tests)),
    'cost', private.costs_of(private.totals_in(ours.id, '{usage}', from_day, to_day, analytics.channel, tests)));
  select * into other from public.workflow_version v where v.id = compare_with;
  if other.id is null then
    return answer;
  end if;
  return answer || jsonb_build_object('comparison', jsonb_build_array(
    jsonb_build_object('workflow_version_id', ours.id, 'version', ours.version) || (answer -> 'calls'),
    jsonb_build_object('workflow_version_id', other.id, 'version', other.version) 
      || private.calls_of(private.totals_in(other.id, '{call}', from_day, to_day, analytics.channel, tests))));
end
$$;

do $$
declare
  f text;
begin
  revoke execute on function public.analytics(uuid, date, date, text, boolean, uuid) from public, anon;
  grant execute on function public.analytics(uuid, date, date, text, boolean, uuid) to authenticated, service_role;
  foreach f in array array['totals_in(uuid, text[], date, date, text, boolean)', 'calls_of(public.daily_total[])', 'agents_of(public.daily_total[])',
    'paths_of(public.daily_total[])', 'variables_of(public.daily_total[])', 'tools_of(public.daily_total[])', 'latency_of(public.daily_total[])',
    'costs_of(public.daily_total[])']
  loop
    execute format('revoke execute on function private.%s from public', f);
    execute format('grant execute on function private.%s to authenticated, service_role', f);
  end loop;
end
$$;

-- Calls from before; where there are more, the operator goes on with the same function. Here and not with the triggers: making
-- those locks call_session until the end of its transaction.
select patchbay.record_missing_facts(1000);
