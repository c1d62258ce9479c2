-- Sessions whose events are not what they must be: numbered from 1 without gaps, `call_started` first, and, where the call has
-- ended, `call_ended` last. Empty unless something was lost; `patchbay session show` has the events of what it lists.
--
-- It counts each session's events, up to four microseconds an event (0.5 s for 1400 calls of 100), so ask for an organization and a time, which
-- `call_session_recent` finds:
--   select * from session_gap where organization_id = '…' and started_at >= now() - interval '1 day';
create view public.session_gap with (security_invoker = true) as
select s.organization_id, s.id as session_id, s.is_test, s.status, s.end_reason, s.started_at, s.ended_at,
       e.events, e.last_seq, e.last_seq - e.events as missing, e.started_seq, e.ended_seq, f.faults
from public.call_session s
cross join lateral (
  select count(*)::integer as events, coalesce(max(seq), 0) as last_seq,
         min(seq) filter (where event_type = 'call_started') as started_seq,
         min(seq) filter (where event_type = 'call_ended') as ended_seq
  from public.session_event where session_id = s.id
) e
cross join lateral (
  select array_remove(array[
    case when e.last_seq <> e.events then 'missing_numbers' end,
    case when e.events > 0 and e.started_seq is distinct from 1 then 'begins_without_call_started' end,
    case when s.ended_at is not null and e.ended_seq is null and (e.events > 0 or s.status = 'completed') then 'ends_without_call_ended' end,
    case when e.ended_seq < e.last_seq then 'goes_on_after_call_ended' end
  ], null) as faults
) f
where f.faults <> '{}';

comment on view public.session_gap is
  'Sessions with events missing or out of place; empty unless something was lost. Filter by organization_id and started_at.';
comment on column public.session_gap.organization_id is 'whose it is';
comment on column public.session_gap.session_id is 'the call: call_session.id';
comment on column public.session_gap.events is 'how many events the session has';
comment on column public.session_gap.last_seq is 'the greatest number among them, 0 without events';
comment on column public.session_gap.missing is 'how many numbers below last_seq have no event';
comment on column public.session_gap.started_seq is 'the number of call_started, which is to be 1';
comment on column public.session_gap.ended_seq is 'the number of the first call_ended, which is to be last_seq once the call has ended';
comment on column public.session_gap.faults is
  'what is wrong: missing_numbers, begins_without_call_started, ends_without_call_ended, goes_on_after_call_ended';

revoke all on public.session_gap from anon, authenticated;
grant select on public.session_gap to authenticated, service_role;

do $$
begin
  execute format('create or replace function patchbay.own_tables() returns text[] language sql immutable set search_path = '''' as %L',
    format('select %L::text[]', array(select distinct t from unnest(patchbay.own_tables() || array['session_gap']) t order by t)));
end
$$;
