-- What each column of the facts and the views means, for psql, Supabase's editor and PostgREST's description.
do $$
declare
  said constant jsonb := $json${
    "every": {
      "organization_id": "whose it is",
      "workflow_id": "the workflow; null where no workflow answered",
      "workflow_version_id": "the version the call ran on, from its beginning to its end; null where no workflow answered",
      "version": "the version's number within its workflow",
      "channel": "phone, web, voice_test or chat_test",
      "day": "the day in UTC on which the call started",
      "is_test": "whether the call was a test",
      "session_id": "the call: call_session.id while that row is kept; facts stay when it is deleted",
      "seq": "session_event.seq of the event that this row is of",
      "turn": "the caller's turn it belongs to, 0 before the first",
      "agent_id": "the agent's id in the config; null where no agent had been entered",
      "agent_name": "the agent's name at the time of the call",
      "path_id": "the path's id in the config",
      "path_name": "the path's name at the time of the call",
      "data_type": "the variable's type, as far as the events tell",
      "provider": "whose model it is",
      "model": "the model, as its provider names it",
      "kind": "llm, stt or tts",
      "input_tokens": "tokens read by the model, cached ones included",
      "cached_tokens": "of the tokens read, those the provider had cached",
      "output_tokens": "tokens written by the model",
      "characters": "characters spoken",
      "tool_type": "the tool's type, as in the config",
      "mocked": "whether a test's result stood in for the tool",
      "p50_ms": "median, in milliseconds; within 2.5 % of the exact one, as all percentiles here",
      "p90_ms": "90th percentile, in milliseconds",
      "p95_ms": "95th percentile, in milliseconds",
      "p99_ms": "99th percentile, in milliseconds",
      "currency": "of the cost, as in the price table; null without a cost",
      "direction": "inbound or outbound",
      "attempts": "values the caller gave for it, by voice or keys, refused ones included",
      "withdrawn": "values that were given up: the caller said no to the read-back, or gave another",
      "corrected": "values that replaced an earlier one",
      "confirmed": "times the caller said yes to a read-back",
      "asks": "turns that ended without it (missing or unconfirmed at a refused path, rejected, or given up), and one for a first answer before which nothing of that kind is told"
    },
    "agent_funnel": {
      "entered": "stays that began here: entered = left_by_path + transferred + hung_up + ended_there + dropped_there",
      "left_by_path": "stays that a path ended, also one that ends or transfers the call",
      "transferred": "stays that a transfer ended which a tool or a failing agent asked for",
      "hung_up": "stays in which the caller hung up",
      "ended_there": "stays in which the call ended in order otherwise: by the agent, by silence, by its longest duration",
      "dropped_there": "stays in which the call broke off: its last stay, and its status is dropped",
      "turns": "the caller's turns in these stays",
      "dwell_p50_ms": "median length of a stay, in milliseconds, within 2.5 %",
      "dwell_p90_ms": "90th percentile of the length of a stay, in milliseconds"
    },
    "path_conversion": {
      "agent_id": "the agent at which it was asked for",
      "requested": "times it was asked for, by the model, a rule, a key or a tool",
      "taken": "times it was taken",
      "refused": "times it was refused, whatever the reason",
      "taken_share": "taken / requested"
    },
    "path_refusal": {
      "agent_id": "the agent at which it was asked for",
      "reason": "path_refused.reason: the first that applied",
      "problem": "missing, invalid or unconfirmed: what was wrong with the variable; null where the refusal names none",
      "variable": "the variable's name; null where the refusal names none",
      "why": "for invalid: not_said, denied, superseded, ambiguous, mismatch, not_allowed, pattern, out_of_range, incomplete, impossible, malformed or other",
      "refusals": "refusals; one that names two variables counts in two rows, path_conversion.refused counts it once"
    },
    "variable_collection": {
      "variable": "the variable's name",
      "calls": "calls in which it was asked for or given",
      "collected": "of these calls, those in which it had a value that may be acted on",
      "asks_per_call": "asks / calls",
      "rejected": "values that were refused as invalid",
      "collect_p50_ms": "median time from the first entering of an agent that has a path with it to the value that may be acted on; presets have none",
      "collect_p90_ms": "90th percentile of that time, in milliseconds"
    },
    "tool_performance": {
      "tool": "the function's name",
      "runs": "times it was run",
      "succeeded": "runs that succeeded",
      "failed": "runs that failed, whatever the code",
      "timed_out": "of the failed, those with the code timeout",
      "success_share": "succeeded / runs"
    },
    "turn_latency": {
      "component": "response (caller's last sound to the first of the answer), llm_ttft, tts_ttfb, stt_delay or eou_delay",
      "turns": "turns in which it was measured",
      "interrupted": "of these, turns in which the caller cut the agent off"
    },
    "turn_histogram": {
      "component": "as in turn_latency",
      "bucket": "1 to 20: one millisecond each; from 21 on each is 5 % wider than the one before",
      "from_ms": "the least duration of the bucket, in milliseconds, included",
      "to_ms": "the greatest, not included",
      "turns": "turns with a duration in the bucket"
    },
    "call_cost": {
      "calls": "calls that used it",
      "audio_seconds": "seconds of audio heard or spoken",
      "priced_calls": "of these calls, those with a cost",
      "cost": "by the prices in force when each call started; null where nothing is priced, never 0",
      "cost_per_call": "cost / priced_calls"
    },
    "version_comparison": {
      "calls": "calls that ended",
      "completed": "of these, with the status completed",
      "dropped": "of these, with the status dropped",
      "completed_share": "completed / calls",
      "duration_avg_ms": "mean length of a call, in milliseconds",
      "turns": "the caller's turns",
      "turns_per_call": "turns / calls",
      "paths_taken": "paths taken",
      "refusals": "paths refused",
      "tool_runs": "runs of tools",
      "tool_failures": "runs of tools that failed",
      "response_p50_ms": "median of the time from the caller's last sound to the first of the answer, within 2.5 %",
      "response_p95_ms": "95th percentile of that time, in milliseconds",
      "priced_calls": "calls with a cost",
      "cost": "sum of the calls' costs; null where none has one. Prices in several currencies: see call_cost",
      "cost_per_call": "cost / priced_calls"
    },
    "call_fact": {
      "started_at": "when the call started",
      "ended_at": "when it ended",
      "status": "completed or dropped",
      "end_reason": "call_session.end_reason",
      "duration_ms": "from start to end, in milliseconds",
      "turns": "the caller's turns",
      "agents": "stays at agents",
      "paths_taken": "paths taken",
      "refusals": "paths refused",
      "tool_runs": "runs of tools that ended",
      "tool_failures": "of these, that failed",
      "faults": "faults raised",
      "events": "events that these facts were made of",
      "cost": "of what has a price; null where nothing has, or prices are in several currencies"
    },
    "stay_fact": {
      "stay": "1 for the first stay of the call",
      "entered_ms": "milliseconds from the start of the call",
      "entered_by": "entry, path, global_path or resume",
      "entered_path_id": "the path that led here",
      "left_by": "path, transfer, hung_up (the caller), ended (otherwise in order) or dropped (the call broke off here)",
      "left_path_id": "the path that led away",
      "left_path_name": "its name",
      "dwell_ms": "length of the stay, in milliseconds",
      "turns": "the caller's turns in it"
    },
    "turn_fact": {
      "seq": "session_event.seq of the agent_turn",
      "interrupted": "whether the caller cut the agent off",
      "stt_delay_ms": "from the caller's end of speech to the final text; with the one turn of the agent that answers",
      "eou_delay_ms": "from the caller's end of speech to the end of the turn; likewise",
      "llm_ttft_ms": "the model's time to the first token",
      "tts_ttfb_ms": "the voice's time to the first sound",
      "response_ms": "from the caller's last sound to the first of the answer; null where the agent answers nothing"
    },
    "path_fact": {
      "seq": "session_event.seq of path_requested",
      "asked_by": "model, rule, dtmf or tool",
      "outcome": "taken or refused; null where the call ended before",
      "reason": "why it was refused",
      "missing": "names of variables without a value",
      "invalid": "names of variables whose value was refused",
      "invalid_why": "why, in the same order, as in path_refusal.why",
      "unconfirmed": "names of variables that waited for a yes",
      "to_agent_id": "where it led; null where it ended or transferred the call",
      "latency_ms": "since the caller's turn"
    },
    "variable_fact": {
      "name": "the variable's name",
      "agent_id": "the agent at which it got its value, else where it was first spoken of",
      "source": "of the value: speech, dtmf, tool or preset",
      "is_collected": "whether it had a value that may be acted on",
      "rejected": "values that were refused as invalid",
      "collect_ms": "from the first entering of an agent that has a path with it (else of the stay in which it is first spoken of) to that value; null for presets"
    },
    "tool_fact": {
      "seq": "session_event.seq of tool_started",
      "name": "the function's name",
      "ok": "whether it succeeded; null where no end is told",
      "error_code": "why it failed",
      "duration_ms": "how long it ran, in milliseconds"
    },
    "usage_fact": {
      "seq": "session_event.seq of usage_reported",
      "item": "which of its entries, from 1",
      "audio_ms": "milliseconds of audio heard or spoken",
      "cost": "of this entry, by the prices in force when the call started; null where it has none, never 0"
    },
    "daily_total": {
      "id": "made of what is counted: everything before counts",
      "subject": "call, agent, path, refusal, variable, tool, turn or usage",
      "key": "what of the subject is counted; the views name it",
      "counts": "by subject; the views name them",
      "histogram": "durations in buckets, see turn_histogram",
      "cost": "in the currency of the key",
      "percentiles": "p50, p90, p95 and p99 of the histogram, in milliseconds"
    }
  }$json$;
  place record;
begin
  for place in
    select c.relname, a.attname,
           coalesce(said -> regexp_replace(c.relname, '_all$', '') ->> a.attname::text, said -> 'every' ->> a.attname::text) as text
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v')
      and said ? regexp_replace(c.relname, '_all$', '') and c.relname <> 'every'
  loop
    execute format('comment on column public.%I.%I is %L', place.relname, place.attname, place.text);
  end loop;
end
$$;
