-- The views analysts read. All read `daily_total`, whose rows are as many as
-- days, versions and things counted, however many calls there were. Each view leaves tests out and has a twin `…_all` with them.
create view public.agent_funnel_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test, agent_id, agent_name,
       counts[1] as entered, counts[2] as left_by_path, counts[3] as transferred, counts[4] as hung_up, counts[5] as ended_there,
       counts[6] as dropped_there, counts[7] as turns, percentiles[1] as dwell_p50_ms, percentiles[2] as dwell_p90_ms
from public.daily_total where subject = 'agent' and counts[1] > 0;

create view public.path_conversion_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test, agent_id, agent_name,
       key ->> 'path_id' as path_id, key ->> 'path_name' as path_name,
       counts[1] as requested, counts[2] as taken, counts[3] as refused, counts[2]::float8 / counts[1] as taken_share
from public.daily_total where subject = 'path' and counts[1] > 0;

create view public.path_refusal_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test, agent_id, agent_name,
       key ->> 'path_id' as path_id, key ->> 'path_name' as path_name, key ->> 'reason' as reason, key ->> 'problem' as problem,
       key ->> 'variable' as variable, key ->> 'why' as why, counts[1] as refusals
from public.daily_total where subject = 'refusal' and counts[1] > 0;

create view public.variable_collection_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test,
       key ->> 'name' as variable, key ->> 'data_type' as data_type, counts[1] as calls, counts[2] as collected, counts[3] as asks,
       counts[3]::float8 / counts[1] as asks_per_call, counts[4] as attempts, counts[5] as rejected, counts[6] as withdrawn,
       counts[7] as corrected, counts[8] as confirmed, percentiles[1] as collect_p50_ms, percentiles[2] as collect_p90_ms
from public.daily_total where subject = 'variable' and counts[1] > 0;

create view public.tool_performance_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test, agent_id, agent_name,
       key ->> 'tool_type' as tool_type, key ->> 'name' as tool, (key ->> 'mocked')::boolean as mocked,
       counts[1] as runs, counts[2] as succeeded, counts[3] as failed, counts[4] as timed_out, counts[2]::float8 / counts[1] as success_share,
       percentiles[1] as p50_ms, percentiles[2] as p90_ms, percentiles[3] as p95_ms, percentiles[4] as p99_ms
from public.daily_total where subject = 'tool' and counts[1] > 0;

create view public.turn_latency_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test, agent_id, agent_name,
       key ->> 'component' as component, counts[1] as turns, counts[2] as interrupted,
       percentiles[1] as p50_ms, percentiles[2] as p90_ms, percentiles[3] as p95_ms, percentiles[4] as p99_ms
from public.daily_total where subject = 'turn' and counts[1] > 0;

create view public.call_cost_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test,
       key ->> 'provider' as provider, key ->> 'model' as model, key ->> 'kind' as kind, counts[1] as calls, counts[2] as input_tokens,
       counts[3] as cached_tokens, counts[4] as output_tokens, counts[5] as characters, counts[6] / 1000.0 as audio_seconds,
       counts[7] as priced_calls, cost, key ->> 'currency' as currency, cost / nullif(counts[7], 0) as cost_per_call
from public.daily_total where subject = 'usage' and counts[1] > 0;

create view public.version_comparison_all with (security_invoker = true) as
select organization_id, workflow_id, workflow_version_id, version, channel, day, is_test,
       counts[1] as calls, counts[2] as completed, counts[3] as dropped, counts[2]::float8 / counts[1] as completed_share,
       counts[5]::float8 / counts[1] as duration_avg_ms, counts[4] as turns, counts[4]::float8 / counts[1] as turns_per_call,
       counts[6] as paths_taken, counts[7] as refusals, counts[8] as tool_runs, counts[9] as tool_failures,
       percentiles[1] as response_p50_ms, percentiles[3] as response_p95_ms,
       counts[10] as priced_calls, cost, cost / nullif(counts[10], 0) as cost_per_call
from public.daily_total where subject = 'call' and counts[1] > 0;

-- The counts behind `turn_latency`, for percentiles of any range: buckets can be added up, percentiles cannot.
create view public.turn_histogram with (security_invoker = true) as
select d.organization_id, d.workflow_id, d.workflow_version_id, d.version, d.channel, d.day, d.is_test, d.agent_id, d.agent_name,
       d.key ->> 'component' as component, b.bucket::integer as bucket,
       case when b.bucket <= 20 then b.bucket - 1 else 20 * 1.05::float8 ^ (b.bucket - 21) end as from_ms,
       case when b.bucket <= 20 then b.bucket else 20 * 1.05::float8 ^ (b.bucket - 20) end as to_ms, b.turns
from public.daily_total d cross join lateral unnest(d.histogram) with ordinality as b (turns, bucket)
where d.subject = 'turn' and b.turns > 0;

do $$
declare
  name text;
  columns text;
begin
  foreach name in array array['agent_funnel', 'path_conversion', 'path_refusal', 'variable_collection', 'tool_performance', 'turn_latency',
                              'call_cost', 'version_comparison']
  loop
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into columns from pg_catalog.pg_attribute a
    where a.attrelid = format('public.%I', name || '_all')::regclass and a.attnum > 0 and a.attname <> 'is_test';
    execute format('create view public.%I with (security_invoker = true) as select %s from public.%I where not is_test',
                   name, columns, name || '_all');
  end loop;
  foreach name in array array['agent_funnel', 'path_conversion', 'path_refusal', 'variable_collection', 'tool_performance', 'turn_latency',
                              'call_cost', 'version_comparison', 'turn_histogram']
  loop
    foreach columns in array array[name, name || '_all']
    loop
      continue when columns = 'turn_histogram_all';
      execute format('revoke all on public.%I from anon, authenticated', columns);
      execute format('grant select on public.%I to authenticated, service_role', columns);
    end loop;
  end loop;
end
$$;

do $$
begin
  execute format('create or replace function patchbay.own_tables() returns text[] language sql immutable set search_path = '''' as %L',
    format('select %L::text[]', array(
      select distinct t from unnest(patchbay.own_tables() || array['turn_histogram', 'agent_funnel', 'agent_funnel_all', 'path_conversion',
        'path_conversion_all', 'path_refusal', 'path_refusal_all', 'variable_collection', 'variable_collection_all', 'tool_performance',
        'tool_performance_all', 'turn_latency', 'turn_latency_all', 'call_cost', 'call_cost_all', 'version_comparison',
        'version_comparison_all']) t order by t)));
end
$$;
