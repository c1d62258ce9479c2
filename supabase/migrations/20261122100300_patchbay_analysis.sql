-- What a call came to, as its workflow's `session.analysis` asks: written once the call is over, null until then.
alter table public.call_session add column analysis jsonb check (analysis is null or jsonb_typeof(analysis) = 'object');

-- The view as it was, with two columns more.
create or replace view public.session_overview with (security_invoker = true) as
select s.id, s.organization_id, v.workflow_id, w.name as workflow_name, s.workflow_version_id, v.version,
       s.channel, s.direction, s.from_number, s.to_number, s.status, s.end_reason,
       s.started_at, s.answered_at, s.ended_at, extract(epoch from s.ended_at - s.started_at) as duration_s, s.cost,
       e.turns, e.paths_taken, e.paths_refused, e.tools_failed, e.faults,
       s.analysis ->> 'summary' as analysis_summary, s.analysis ->> 'outcome' as analysis_outcome
from public.call_session s
left join public.workflow_version v on v.id = s.workflow_version_id
left join public.workflow w on w.id = v.workflow_id
left join lateral (
  select count(*) filter (where event_type = 'user_turn') as turns,
         count(*) filter (where event_type = 'path_taken') as paths_taken,
         count(*) filter (where event_type = 'path_refused') as paths_refused,
         count(*) filter (where event_type = 'tool_failed') as tools_failed,
         count(*) filter (where event_type = 'fault_raised') as faults
  from public.session_event where session_id = s.id
) e on true
where not s.is_test;
