"""The SQL that fills a database for `benchmarks.analytics`."""

from __future__ import annotations

__all__ = ["CALLS", "COPIES", "EVENTS", "MEMBER", "SIZES", "WORKFLOWS"]

WORKFLOWS = """
insert into public.organization (name) values ('benchmark');
insert into public.organization_member (organization_id, user_id, role) select id, gen_random_uuid(), 'analyst' from public.organization;
insert into public.workflow (organization_id, name) select id, 'workflow ' || n from public.organization, generate_series(1, 3) n;
insert into public.workflow_version (workflow_id, organization_id, version, config)
select id, organization_id, n, '{"agents": []}' from public.workflow, generate_series(1, 4) n;
insert into public.price (provider, model, unit, price, valid_from)
values ('openai', 'gpt-4o-mini', 'input_token', 0.00000015, '2020-01-01'), ('openai', 'gpt-4o-mini', 'output_token', 0.0000006, '2020-01-01'),
       ('deepgram', 'nova-3', 'second', 0.00007, '2020-01-01');
"""
MEMBER = "select user_id from public.organization_member"

# $1 calls over $2 days from 1 April 2026 on, of every version, by phone and by web; $3: 'open' or 'ended'.
CALLS = """
insert into public.call_session (organization_id, workflow_version_id, channel, status, end_reason, started_at, ended_at)
select v.organization_id, v.id, (array['phone', 'web'])[1 + n % 2], case when n % 25 = 0 then 'dropped' else 'completed' end,
       case when n % 25 = 0 then 'connection_lost' when n % 3 = 0 then 'caller_hangup' else 'agent_hangup' end,
       a.at, case $3::text when 'ended' then a.at + interval '4 minutes' end
from generate_series(1, $1::integer) n
cross join lateral (select timestamptz '2026-04-01 00:00:00+00' + n * (interval '1 day' * $2::integer / ($1::integer + 1)) as at) a
join (select id, organization_id, row_number() over (order by created_at, id) - 1 as nth from public.workflow_version) v on v.nth = (n / 2) % 12
"""

# 100 events of each call: a greeting, ten rounds of a turn, a path, a tool and a variable, a handoff in every other round.
EVENTS = """
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
select s.id, s.organization_id, n, k.kind,
       jsonb_build_object('v', 1, 'turn', r.round, 'elapsed_ms', n * 2400, 'caused_by', n - 1, 'agent_id', 'agent-' || r.stay, 'agent_name', 'Agent ' || r.stay)
       || case k.kind
            when 'agent_entered' then jsonb_build_object('cause', case n when 2 then 'entry' else 'path' end, 'path_id', null)
            when 'agent_exited' then jsonb_build_object('cause', case n when 99 then 'call_ended' else 'path' end, 'path_id', 'path-' || r.round % 4,
                                                        'dwell_ms', (10000 + 60000 * random())::integer, 'turns', 3)
            when 'user_turn' then jsonb_build_object('text', repeat('a word or two ', 6), 'stt_delay_ms', (60 + 300 * random())::integer,
                                                     'eou_delay_ms', (150 + 700 * random())::integer)
            when 'agent_turn' then jsonb_build_object('text', repeat('an answer ', 12), 'interrupted', random() < 0.1,
                                                      'llm_ttft_ms', (200 + 900 * random() ^ 3)::integer, 'tts_ttfb_ms', (80 + 300 * random())::integer,
                                                      'response_ms', (500 + 2500 * random() ^ 2)::integer)
            when 'path_requested' then jsonb_build_object('path_id', 'path-' || r.round % 4, 'path_name', 'Path ' || r.round % 4, 'by', 'model')
            when 'path_taken' then jsonb_build_object('path_id', 'path-' || r.round % 4, 'path_name', 'Path ' || r.round % 4, 'by', 'model')
            when 'path_refused' then jsonb_build_object('path_id', 'path-' || r.round % 4, 'path_name', 'Path ' || r.round % 4, 'by', 'model',
                                                        'reason', 'missing', 'missing', jsonb_build_array('variable_' || r.round % 5))
            when 'tool_started' then jsonb_build_object('tool_call_id', r.round, 'tool_type', 'http_request', 'name', 'tool_' || r.round % 3)
            when 'tool_succeeded' then jsonb_build_object('tool_call_id', r.round, 'tool_type', 'http_request', 'name', 'tool_' || r.round % 3,
                                                          'duration_ms', (40 + 2000 * random() ^ 2)::integer)
            when 'tool_failed' then jsonb_build_object('tool_call_id', r.round, 'tool_type', 'http_request', 'name', 'tool_' || r.round % 3,
                                                       'duration_ms', 5000, 'error_code', 'timeout')
            when 'variable_collected' then jsonb_build_object('name', 'variable_' || r.round % 5, 'data_type', 'digits', 'source', 'speech', 'confirmed', true)
            when 'variable_rejected' then jsonb_build_object('name', 'variable_' || r.round % 5, 'data_type', 'digits', 'source', 'speech', 'why', 'must be digits')
            when 'usage_reported' then jsonb_build_object('usage', jsonb_build_array(
              jsonb_build_object('provider', 'openai', 'model', 'gpt-4o-mini', 'kind', 'llm', 'input_tokens', 4000, 'cached_tokens', 1000, 'output_tokens', 300),
              jsonb_build_object('provider', 'deepgram', 'model', 'nova-3', 'kind', 'stt', 'audio_seconds', 61.5)))
            when 'call_ended' then jsonb_build_object('duration_ms', 240000, 'turns', 10)
            else '{}' end,
       'agent-' || r.stay, s.started_at + n * interval '2.4 seconds'
from public.call_session s
cross join generate_series(1, 100) n
cross join lateral (select least((n + 6) / 9, 10) as round, 1 + ((n - 3) / 18) % 3 as stay) r
cross join lateral (select case
  when n = 1 then 'call_started' when n = 2 then 'agent_entered' when n = 98 then 'usage_reported' when n = 99 then 'agent_exited'
  when n = 100 then 'call_ended'
  else case (n - 3) % 9
    when 0 then 'user_turn' when 1 then 'path_requested' when 2 then case r.round % 2 when 0 then 'path_taken' else 'path_refused' end
    when 3 then case r.round % 2 when 0 then 'agent_exited' else 'silence_elapsed' end
    when 4 then case r.round % 2 when 0 then 'agent_entered' else 'dtmf_received' end
    when 5 then 'tool_started' when 6 then case r.round when 7 then 'tool_failed' else 'tool_succeeded' end
    when 7 then case r.round % 4 when 3 then 'variable_rejected' else 'variable_collected' end
    else 'agent_turn' end end as kind) k
where s.id = any ($1::uuid[])
"""

# Copy number $1, $2 days further. Their sessions' ids are made of the originals'.
_ID = "md5(session_id::text || $1::integer)::uuid"
_FIRST = "day < date '2026-04-19'"


def _copied(table: str, columns: str) -> str:
    return (
        f"insert into public.{table} (session_id, day, {columns}) "  # noqa: S608 - our own names
        f"select {_ID}, day + $2::integer, {columns} from public.{table} where {_FIRST}"
    )


_OF_ALL = "organization_id, workflow_version_id, channel, is_test"
_AGENT = f"{_OF_ALL}, agent_id, agent_name"
COPIES = {
    "calls": """
insert into public.call_session (id, organization_id, workflow_version_id, channel, status, end_reason, started_at, ended_at, cost)
select md5(id::text || $1::integer)::uuid, organization_id, workflow_version_id, channel, status, end_reason,
       started_at + $2::integer * interval '1 day', ended_at + $2::integer * interval '1 day', cost
from public.call_session where started_at < timestamptz '2026-04-19 00:00:00+00'
""",
    "events": f"""
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at)
select {_ID}, organization_id, seq, event_type, payload, agent_id, occurred_at + $2::integer * interval '1 day'
from public.session_event where occurred_at < timestamptz '2026-04-19 00:10:00+00'
""",  # noqa: S608 - our own names
    "call_fact": _copied(
        "call_fact",
        f"{_OF_ALL}, workflow_id, version, direction, started_at, ended_at, status, end_reason, duration_ms, turns, agents, "
        "paths_taken, refusals, tool_runs, tool_failures, faults, events, cost, currency",
    ),
    "stay_fact": _copied(
        "stay_fact",
        f"stay, {_AGENT}, entered_ms, entered_by, entered_path_id, left_by, left_path_id, left_path_name, dwell_ms, turns",
    ),
    "turn_fact": _copied(
        "turn_fact",
        f"seq, {_AGENT}, turn, interrupted, stt_delay_ms, eou_delay_ms, llm_ttft_ms, tts_ttfb_ms, response_ms",
    ),
    "path_fact": _copied(
        "path_fact",
        f"seq, {_AGENT}, turn, path_id, path_name, asked_by, outcome, reason, missing, invalid, invalid_why, unconfirmed, "
        "to_agent_id, latency_ms",
    ),
    "variable_fact": _copied(
        "variable_fact",
        f"name, {_AGENT}, data_type, source, is_collected, asks, attempts, rejected, withdrawn, corrected, confirmed, collect_ms",
    ),
    "tool_fact": _copied("tool_fact", f"seq, {_AGENT}, turn, tool_type, name, mocked, ok, error_code, duration_ms"),
    "usage_fact": _copied(
        "usage_fact",
        f"seq, item, {_AGENT}, provider, model, kind, input_tokens, cached_tokens, output_tokens, characters, audio_ms, cost, currency",
    ),
    "daily_total": f"""
insert into public.daily_total (id, organization_id, day, workflow_id, workflow_version_id, version, channel, is_test, subject, agent_id,
  agent_name, key, counts, histogram, cost)
select md5(id::text || $1::integer)::uuid, organization_id, day + $2::integer, workflow_id, workflow_version_id, version, channel, is_test,
       subject, agent_id, agent_name, key, counts, histogram, cost
from public.daily_total where {_FIRST}
""",  # noqa: S608 - our own names
}
SIZES = """
select (select count(*) from public.session_event) as events, (select count(*) from public.call_fact) as calls,
       (select count(*) from public.turn_fact) as turns, (select count(*) from public.daily_total) as daily_totals,
       pg_size_pretty(pg_relation_size('public.daily_total')) as daily_totals_size, pg_size_pretty(pg_database_size(current_database())) as size
"""
