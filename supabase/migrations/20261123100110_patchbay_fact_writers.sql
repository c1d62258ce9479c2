-- How a call's events become its facts.
--
-- A payload may be of any release and of any form: what is not as expected is null. Hence `between '0' and '1000000000'` for a
-- whole number (of jsonb values only numbers lie between numbers) and `left(…, 200)` for a name, written out: as functions they
-- would take most of the time.
create function private.names_of(value jsonb) returns text[] language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if jsonb_typeof(value) is distinct from 'array' or jsonb_array_length(value) = 0 then
    return '{}';
  end if;
  return array(select left(e.item #>> '{}', 200) from jsonb_array_elements(value) with ordinality as e (item, n)
               where jsonb_typeof(e.item) = 'string' order by e.n limit 50);
end
$$;

-- What the words of a refusal come to; the words themselves may quote what a builder or a caller said.
create function private.why_code(why text) returns text language sql immutable parallel safe set search_path = '' as $$
  select case
    when why is null then null
    when why in ('was not said by the caller', 'nobody said it', 'was not given') then 'not_said'
    when why = 'the caller said that it is wrong' then 'denied'
    when why in ('the caller gave another value', 'the earlier value stands') then 'superseded'
    when why like '%more than one' or why like '%either way round%' or why like 'must be only one of%' then 'ambiguous'
    when why like '%do not belong together%' then 'mismatch'
    when why like 'must be one of%' then 'not_allowed'
    when why like 'does not have the form%' then 'pattern'
    when why like 'is too%' or why like 'must have at most%' or why like 'must have % to %' or why like 'must have %, got %'
      or why like 'must be at %' or why like 'must be less%' or why like 'must not be %' then 'out_of_range'
    when why like 'must have % as well%' or why like 'must be one day,%' or why like 'must name its currency%' then 'incomplete'
    when why like 'is not %' or why like '%does not exist%' or why like '%cannot exist%' then 'impossible'
    when why like 'must be %' or why like 'cannot be understood%' then 'malformed'
    else 'other'
  end
$$;

-- In plpgsql although each is one statement: it keeps a statement's plan, and planning would take longer than running.

create function private.write_call_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  insert into public.call_fact (session_id, organization_id, workflow_id, workflow_version_id, version, channel, direction, is_test, day,
    started_at, ended_at, status, end_reason, duration_ms, turns, agents, paths_taken, refusals, tool_runs, tool_failures, faults, events)
  select s.id, s.organization_id, v.workflow_id, s.workflow_version_id, v.version, left(s.channel, 200), left(s.direction, 200), s.is_test,
         (s.started_at at time zone 'UTC')::date, s.started_at, s.ended_at, s.status, left(s.end_reason, 200),
         coalesce(e.duration_ms, greatest(extract(epoch from s.ended_at - s.started_at) * 1000, 0)::bigint),
         coalesce(e.told_turns, e.turns, 0), coalesce(e.agents, 0), coalesce(e.paths_taken, 0), coalesce(e.refusals, 0),
         coalesce(e.tool_runs, 0), coalesce(e.tool_failures, 0), coalesce(e.faults, 0), coalesce(e.events, 0)
  from public.call_session s
  left join public.workflow_version v on v.id = s.workflow_version_id
  left join (
    select session_id, count(*) as events,
           count(*) filter (where event_type = 'user_turn') as turns,
           count(*) filter (where event_type = 'agent_entered') as agents,
           count(*) filter (where event_type = 'path_taken') as paths_taken,
           count(*) filter (where event_type = 'path_refused') as refusals,
           count(*) filter (where event_type in ('tool_succeeded', 'tool_failed')) as tool_runs,
           count(*) filter (where event_type = 'tool_failed') as tool_failures,
           count(*) filter (where event_type = 'fault_raised') as faults,
           max(case when event_type = 'call_ended' then case when payload -> 'turns' between '0' and '1000000000' then (payload -> 'turns')::integer end end) as told_turns,
           max(case when event_type = 'call_ended' then case when payload -> 'duration_ms' between '0' and '1000000000' then (payload -> 'duration_ms')::integer end end) as duration_ms
    from public.session_event where session_id = any (sessions) group by session_id
  ) e on e.session_id = s.id
  where s.id = any (sessions) and s.ended_at is not null
  on conflict do nothing;
end
$$;

-- A stay ends by a path, by a transfer, or with the call: by the caller (`hung_up`), in order (`ended`) or not (`dropped`).
create function private.write_stay_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with counted as (
    select session_id, seq, event_type, payload,
           count(*) filter (where event_type = 'agent_entered') over (partition by session_id order by seq) as stay
    from public.session_event
    where session_id = any (sessions) and event_type in ('agent_entered', 'agent_exited', 'path_taken')
  ), entered as (
    select session_id, stay, payload, max(stay) over (partition by session_id) as last_stay
    from counted where event_type = 'agent_entered'
  ), exited as (
    select distinct on (session_id, stay) session_id, stay, payload from counted where event_type = 'agent_exited' order by session_id, stay, seq
  ), taken as (
    select distinct on (session_id, stay) session_id, stay, payload from counted where event_type = 'path_taken' order by session_id, stay, seq desc
  )
  insert into public.stay_fact (session_id, stay, organization_id, workflow_version_id, channel, is_test, day, agent_id, agent_name,
    entered_ms, entered_by, entered_path_id, left_by, left_path_id, left_path_name, dwell_ms, turns)
  select c.session_id, n.stay, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day,
         left(n.payload ->> 'agent_id', 200), left(n.payload ->> 'agent_name', 200), case when n.payload -> 'elapsed_ms' between '0' and '1000000000' then (n.payload -> 'elapsed_ms')::integer end,
         left(n.payload ->> 'cause', 200), left(n.payload ->> 'path_id', 200),
         case when n.stay = n.last_stay and c.status = 'dropped' then 'dropped'
              when x.payload ->> 'cause' in ('path', 'global_path') then 'path'
              when x.payload ->> 'cause' = 'transfer' then 'transfer'
              when c.end_reason = 'caller_hangup' then 'hung_up'
              else 'ended' end,
         left(x.payload ->> 'path_id', 200),
         case when x.payload ->> 'path_id' = t.payload ->> 'path_id' then left(t.payload ->> 'path_name', 200) end,
         coalesce(case when x.payload -> 'dwell_ms' between '0' and '1000000000' then (x.payload -> 'dwell_ms')::integer end,
                  case when n.stay = n.last_stay then greatest(c.duration_ms - case when n.payload -> 'elapsed_ms' between '0' and '1000000000' then (n.payload -> 'elapsed_ms')::integer end, 0) end),
         case when x.payload -> 'turns' between '0' and '1000000000' then (x.payload -> 'turns')::integer end
  from entered n
  join public.call_fact c on c.session_id = n.session_id
  left join exited x on x.session_id = n.session_id and x.stay = n.stay
  left join taken t on t.session_id = n.session_id and t.stay = n.stay
  on conflict do nothing;
end
$$;

-- The caller's delays belong to the one turn of the agent that answers, or a turn of two answers would count them twice.
create function private.write_turn_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with said as (
    select session_id, seq, payload, case when payload -> 'turn' between '0' and '1000000000' then (payload -> 'turn')::integer end as turn, case when payload -> 'response_ms' between '0' and '1000000000' then (payload -> 'response_ms')::integer end as response_ms
    from public.session_event where session_id = any (sessions) and event_type = 'agent_turn'
  ), ranked as (
    select *, row_number() over (partition by session_id, turn order by response_ms is null, seq) as nth from said
  ), asked as (
    select distinct on (session_id, turn) session_id, case when payload -> 'turn' between '0' and '1000000000' then (payload -> 'turn')::integer end as turn,
           case when payload -> 'stt_delay_ms' between '0' and '1000000000' then (payload -> 'stt_delay_ms')::integer end as stt_delay_ms, case when payload -> 'eou_delay_ms' between '0' and '1000000000' then (payload -> 'eou_delay_ms')::integer end as eou_delay_ms
    from public.session_event where session_id = any (sessions) and event_type = 'user_turn'
    order by session_id, turn, seq desc
  )
  insert into public.turn_fact (session_id, seq, organization_id, workflow_version_id, channel, is_test, day, turn, agent_id, agent_name,
    interrupted, stt_delay_ms, eou_delay_ms, llm_ttft_ms, tts_ttfb_ms, response_ms)
  select c.session_id, r.seq, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day, r.turn,
         left(r.payload ->> 'agent_id', 200), left(r.payload ->> 'agent_name', 200),
         case jsonb_typeof(r.payload -> 'interrupted') when 'boolean' then (r.payload -> 'interrupted')::boolean end,
         a.stt_delay_ms, a.eou_delay_ms,
         case when r.payload -> 'llm_ttft_ms' between '0' and '1000000000' then (r.payload -> 'llm_ttft_ms')::integer end, case when r.payload -> 'tts_ttfb_ms' between '0' and '1000000000' then (r.payload -> 'tts_ttfb_ms')::integer end, r.response_ms
  from ranked r
  join public.call_fact c on c.session_id = r.session_id
  left join asked a on a.session_id = r.session_id and a.turn = r.turn and r.nth = 1
  on conflict do nothing;
end
$$;

create function private.write_path_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with asked as (
    select session_id, seq, payload from public.session_event where session_id = any (sessions) and event_type = 'path_requested'
  ), answered as (
    select session_id, seq, event_type, payload, case when payload -> 'caused_by' between '0' and '1000000000' then (payload -> 'caused_by')::integer end as caused_by
    from public.session_event where session_id = any (sessions) and event_type in ('path_taken', 'path_refused')
  ), paired as (
    select coalesce(q.session_id, a.session_id) as session_id, coalesce(q.seq, a.seq) as seq, a.event_type, a.payload as answer,
           coalesce(a.payload, q.payload) as payload
    from asked q full join answered a on a.session_id = q.session_id and a.caused_by = q.seq
  )
  insert into public.path_fact (session_id, seq, organization_id, workflow_version_id, channel, is_test, day, turn, agent_id, agent_name,
    path_id, path_name, asked_by, outcome, reason, missing, invalid, invalid_why, unconfirmed, to_agent_id, latency_ms)
  select c.session_id, p.seq, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day, case when p.payload -> 'turn' between '0' and '1000000000' then (p.payload -> 'turn')::integer end,
         left(p.payload ->> 'agent_id', 200), left(p.payload ->> 'agent_name', 200),
         left(p.payload ->> 'path_id', 200), left(p.payload ->> 'path_name', 200), left(p.payload ->> 'by', 200),
         case p.event_type when 'path_taken' then 'taken' when 'path_refused' then 'refused' end, left(p.answer ->> 'reason', 200),
         private.names_of(p.answer -> 'missing'), i.names, i.whys, private.names_of(p.answer -> 'unconfirmed'),
         left(p.answer ->> 'to_agent_id', 200), case when p.answer -> 'latency_ms' between '0' and '1000000000' then (p.answer -> 'latency_ms')::integer end
  from paired p
  join public.call_fact c on c.session_id = p.session_id
  cross join lateral (
    select coalesce(array_agg(coalesce(left(o.item ->> 'name', 200), '') order by o.ordinal), '{}') as names,
           coalesce(array_agg(coalesce(private.why_code(o.item ->> 'why'), 'other') order by o.ordinal), '{}') as whys
    from private.objects_of(p.answer -> 'invalid') o
  ) i
  on conflict do nothing;
end
$$;

-- An ask is a turn that ended without the variable: missing or unconfirmed at a path, or rejected; and one for a first answer
-- before which nothing of that kind is told. The time to collect counts from the first stay at an agent that has a path with the
-- variable (or, where the version does not tell, the stay in which it is first spoken of) to the value that may be acted on.
create function private.write_variable_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with told as (
    select session_id, seq, event_type, payload, case when payload -> 'turn' between '0' and '1000000000' then (payload -> 'turn')::integer end as turn, case when payload -> 'elapsed_ms' between '0' and '1000000000' then (payload -> 'elapsed_ms')::integer end as at_ms
    from public.session_event
    where session_id = any (sessions)
      and event_type in ('path_refused', 'variable_collected', 'variable_rejected', 'variable_corrected', 'variable_confirmed')
  ), named as (
    select t.session_id, t.seq, t.turn, t.at_ms, t.payload, n.name, 'open' as kind, null as source
    from told t cross join lateral unnest(private.names_of(t.payload -> 'missing') || private.names_of(t.payload -> 'unconfirmed')) as n (name)
    where t.event_type = 'path_refused'
    union all
    select session_id, seq, turn, at_ms, payload, left(payload ->> 'name', 200),
           case event_type
             when 'variable_rejected' then case payload ->> 'withdrawn' when 'true' then 'withdrawn' else 'rejected' end
             when 'variable_corrected' then 'corrected'
             when 'variable_confirmed' then 'confirmed'
             else case payload ->> 'confirmed' when 'false' then 'waiting' else 'collected' end end,
           left(payload ->> 'source', 200)
    from told where event_type <> 'path_refused'
  ), summed as (
    select session_id, name, min(seq) as first_seq, min(at_ms) as first_ms,
           count(distinct turn) filter (where kind in ('open', 'rejected', 'withdrawn'))
             + ((array_agg(kind <> 'open' and source in ('speech', 'dtmf') order by seq))[1] is true)::integer as asks,
           count(*) filter (where kind in ('waiting', 'collected', 'corrected', 'rejected') and source in ('speech', 'dtmf')) as attempts,
           count(*) filter (where kind = 'rejected') as rejected, count(*) filter (where kind = 'withdrawn') as withdrawn,
           count(*) filter (where kind = 'corrected') as corrected, count(*) filter (where kind = 'confirmed') as confirmed,
           min(at_ms) filter (where kind in ('collected', 'confirmed')) as settled_ms,
           (array_agg(source order by seq) filter (where kind in ('collected', 'confirmed')))[1] as source,
           (array_agg(left(payload ->> 'data_type', 200) order by seq) filter (where payload ? 'data_type'))[1] as data_type,
           (array_agg(payload order by kind not in ('collected', 'confirmed'), seq))[1] as place
    from named where name is not null group by session_id, name
  )
  insert into public.variable_fact (session_id, name, organization_id, workflow_version_id, channel, is_test, day, agent_id, agent_name,
    data_type, source, is_collected, asks, attempts, rejected, withdrawn, corrected, confirmed, collect_ms)
  select c.session_id, s.name, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day,
         left(s.place ->> 'agent_id', 200), left(s.place ->> 'agent_name', 200), s.data_type, s.source,
         s.settled_ms is not null, s.asks, s.attempts, s.rejected, s.withdrawn, s.corrected, s.confirmed,
         case when s.source <> 'preset' and s.settled_ms >= b.began_ms then s.settled_ms - b.began_ms end
  from summed s
  join public.call_fact c on c.session_id = s.session_id
  cross join lateral (
    select coalesce(
      (select min(y.entered_ms) from public.stay_fact y
       where y.session_id = s.session_id and exists (
         select from public.agent_path p
         join public.path_variable w on w.path_id = p.id and w.name = s.name
         left join public.agent_node n on n.id = p.from_agent_id
         where p.workflow_version_id = c.workflow_version_id and (n.id is null or n.config_id = y.agent_id))),
      (select max(y.entered_ms) from public.stay_fact y where y.session_id = s.session_id and y.entered_ms <= s.first_ms)) as began_ms
  ) b
  on conflict do nothing;
end
$$;

create function private.write_tool_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with began as (
    select session_id, seq, payload from public.session_event where session_id = any (sessions) and event_type = 'tool_started'
  ), ended as (
    select session_id, seq, event_type, payload from public.session_event
    where session_id = any (sessions) and event_type in ('tool_succeeded', 'tool_failed')
  ), paired as (
    select coalesce(b.session_id, e.session_id) as session_id, coalesce(b.seq, e.seq) as seq, e.event_type, coalesce(e.payload, b.payload) as payload
    from began b full join ended e on e.session_id = b.session_id and e.payload ->> 'tool_call_id' = b.payload ->> 'tool_call_id'
  )
  insert into public.tool_fact (session_id, seq, organization_id, workflow_version_id, channel, is_test, day, turn, agent_id, agent_name,
    tool_type, name, mocked, ok, error_code, duration_ms)
  select c.session_id, p.seq, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day, case when p.payload -> 'turn' between '0' and '1000000000' then (p.payload -> 'turn')::integer end,
         left(p.payload ->> 'agent_id', 200), left(p.payload ->> 'agent_name', 200),
         left(p.payload ->> 'tool_type', 200), left(p.payload ->> 'name', 200), coalesce(p.payload ->> 'mocked' = 'true', false),
         p.event_type = 'tool_succeeded', left(p.payload ->> 'error_code', 200), case when p.payload -> 'duration_ms' between '0' and '1000000000' then (p.payload -> 'duration_ms')::integer end
  from paired p join public.call_fact c on c.session_id = p.session_id
  on conflict do nothing;
end
$$;

-- What `usage` cost by the prices in force at `moment`: null where none of what was used has one. A unit without a price adds nothing;
-- cached tokens without one of their own cost what others do. What is priced in two currencies has no sum.
create function private.price_of(usage public.usage_fact, moment timestamptz, out cost numeric, out currency text) language sql stable set search_path = '' as $$
  with known as (
    select distinct on (p.unit) p.unit, p.price, p.currency from public.price p
    where lower(p.provider) = lower(usage.provider) and lower(p.model) = lower(usage.model) and p.valid_from <= moment
    order by p.unit, p.valid_from desc
  ), used (unit, amount) as (
    values ('input_token', greatest(usage.input_tokens - usage.cached_tokens, 0)::numeric), ('cached_input_token', usage.cached_tokens::numeric),
           ('output_token', usage.output_tokens::numeric), ('character', usage.characters::numeric), ('second', usage.audio_ms / 1000.0)
  ), priced as (
    select u.amount * k.price as cost, k.currency
    from used u
    join known k on k.unit = u.unit
      or u.unit = 'cached_input_token' and k.unit = 'input_token' and not exists (select from known where unit = 'cached_input_token')
    where u.amount > 0
  )
  select case when count(distinct p.currency) = 1 then sum(p.cost) end, case when count(distinct p.currency) = 1 then min(p.currency) end from priced p
$$;

create function private.write_usage_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  with used as (
    select e.session_id, e.seq, u.ordinal::integer as item, u.item as usage, e.payload
    from public.session_event e cross join lateral private.objects_of(e.payload -> 'usage') u
    where e.session_id = any (sessions) and e.event_type = 'usage_reported'
  )
  insert into public.usage_fact (session_id, seq, item, organization_id, workflow_version_id, channel, is_test, day, agent_id, agent_name,
    provider, model, kind, input_tokens, cached_tokens, output_tokens, characters, audio_ms, cost, currency)
  select c.session_id, u.seq, u.item, c.organization_id, c.workflow_version_id, c.channel, c.is_test, c.day,
         left(u.payload ->> 'agent_id', 200), left(u.payload ->> 'agent_name', 200),
         left(u.usage ->> 'provider', 200), left(u.usage ->> 'model', 200), left(u.usage ->> 'kind', 200),
         coalesce(case when u.usage -> 'input_tokens' between '0' and '1000000000' then (u.usage -> 'input_tokens')::integer end, 0), coalesce(case when u.usage -> 'cached_tokens' between '0' and '1000000000' then (u.usage -> 'cached_tokens')::integer end, 0),
         coalesce(case when u.usage -> 'output_tokens' between '0' and '1000000000' then (u.usage -> 'output_tokens')::integer end, 0), coalesce(case when u.usage -> 'characters' between '0' and '1000000000' then (u.usage -> 'characters')::integer end, 0),
         coalesce(case jsonb_typeof(u.usage -> 'audio_seconds') when 'number' then
                    case when (u.usage -> 'audio_seconds')::numeric between 0 and 1000000 then round((u.usage -> 'audio_seconds')::numeric * 1000) end end, 0),
         case jsonb_typeof(u.usage -> 'cost') when 'number' then (u.usage -> 'cost')::numeric end,
         case jsonb_typeof(u.usage -> 'cost') when 'number' then 'USD' end
  from used u join public.call_fact c on c.session_id = u.session_id
  on conflict do nothing;

  update public.usage_fact f set (cost, currency) = (select p.cost, p.currency from private.price_of(f, c.started_at) p)
  from public.call_fact c
  where f.session_id = any (sessions) and c.session_id = f.session_id and f.cost is null
    and exists (select from public.price where lower(provider) = lower(f.provider));

  update public.call_fact c set cost = s.cost, currency = s.currency
  from (select session_id, sum(cost) as cost, min(currency) as currency from public.usage_fact
        where session_id = any (sessions) and cost is not null group by session_id having count(distinct currency) = 1) s
  where c.session_id = s.session_id;
end
$$;

create function private.write_facts(sessions uuid[]) returns void language plpgsql set search_path = '' as $$
begin
  perform private.write_call_facts(sessions);
  perform private.write_stay_facts(sessions);
  perform private.write_turn_facts(sessions);
  perform private.write_path_facts(sessions);
  perform private.write_variable_facts(sessions);
  perform private.write_tool_facts(sessions);
  perform private.write_usage_facts(sessions);
end
$$;
