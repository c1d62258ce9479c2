-- What calls came to, in figures: facts of each call, and daily totals of them, which the views read.
--
-- Facts hold no personal data: no numbers, no texts, no values. They are written from the call's events when the call ends
-- and outlive them: `call_fact.session_id` is no foreign key. `day` is the day in UTC on which the call started.
create table public.call_fact (
  session_id uuid primary key,
  organization_id uuid not null references public.organization (id) on delete cascade,
  workflow_id uuid,
  workflow_version_id uuid,
  version integer,
  channel text not null,
  direction text not null,
  is_test boolean not null,
  day date not null,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  status text not null,
  end_reason text,
  duration_ms bigint not null,
  turns integer not null,
  agents integer not null,
  paths_taken integer not null,
  refusals integer not null,
  tool_runs integer not null,
  tool_failures integer not null,
  faults integer not null,
  events integer not null,
  cost numeric,
  currency text
);

create table public.stay_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  stay integer not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  agent_id text,
  agent_name text,
  entered_ms integer,
  entered_by text,
  entered_path_id text,
  left_by text not null,
  left_path_id text,
  left_path_name text,
  dwell_ms integer,
  turns integer,
  primary key (session_id, stay)
);

create table public.turn_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  seq integer not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  turn integer,
  agent_id text,
  agent_name text,
  interrupted boolean,
  stt_delay_ms integer,
  eou_delay_ms integer,
  llm_ttft_ms integer,
  tts_ttfb_ms integer,
  response_ms integer,
  primary key (session_id, seq)
);

create table public.path_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  seq integer not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  turn integer,
  agent_id text,
  agent_name text,
  path_id text,
  path_name text,
  asked_by text,
  outcome text,
  reason text,
  missing text[] not null,
  invalid text[] not null,
  invalid_why text[] not null,
  unconfirmed text[] not null,
  to_agent_id text,
  latency_ms integer,
  primary key (session_id, seq)
);

create table public.variable_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  name text not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  agent_id text,
  agent_name text,
  data_type text,
  source text,
  is_collected boolean not null,
  asks integer not null,
  attempts integer not null,
  rejected integer not null,
  withdrawn integer not null,
  corrected integer not null,
  confirmed integer not null,
  collect_ms integer,
  primary key (session_id, name)
);

create table public.tool_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  seq integer not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  turn integer,
  agent_id text,
  agent_name text,
  tool_type text,
  name text,
  mocked boolean not null,
  ok boolean,
  error_code text,
  duration_ms integer,
  primary key (session_id, seq)
);

create table public.usage_fact (
  session_id uuid not null references public.call_fact (session_id) on delete cascade,
  seq integer not null,
  item integer not null,
  organization_id uuid not null,
  workflow_version_id uuid,
  channel text not null,
  is_test boolean not null,
  day date not null,
  agent_id text,
  agent_name text,
  provider text,
  model text,
  kind text,
  input_tokens bigint not null,
  cached_tokens bigint not null,
  output_tokens bigint not null,
  characters bigint not null,
  audio_ms bigint not null,
  cost numeric,
  currency text,
  primary key (session_id, seq, item)
);

-- ---------------------------------------------------------------- histograms
--
-- Places 1 to 20 count what took 0 to 19 ms; place 21 + i what took from 20 * 1.05^i up to 20 * 1.05^(i+1) ms. A percentile is the
-- middle of the place that holds it, in ratio, and so within 2.5 % of the exact one. Places that are not there count 0.
create function private.histogram(durations integer[]) returns bigint[] language plpgsql immutable parallel safe set search_path = '' as $$
declare
  places integer[] := array(select case when d < 20 then d + 1 else 21 + floor(ln(d / 20::float8) / ln(1.05::float8))::integer end from unnest(durations) d where d is not null);
  counts bigint[] := array_fill(0::bigint, array[coalesce((select max(p) from unnest(places) p), 0)]);
  place integer;
begin
  foreach place in array places
  loop
    counts[place] := counts[place] + 1;
  end loop;
  return counts;
end
$$;

-- p50, p90, p95 and p99 in milliseconds; null where nothing was counted.
create function private.percentiles(counts bigint[]) returns float8[] language plpgsql immutable parallel safe set search_path = '' as $$
declare
  wanted constant float8[] := array[0.5, 0.9, 0.95, 0.99];
  marks float8[] := '{}';
  total float8 := (select sum(c) from unnest(counts) c);
  passed float8 := 0;
  counted bigint;
  place integer;
begin
  for counted, place in select c, n from unnest(counts) with ordinality as u (c, n) where c > 0
  loop
    passed := passed + counted;
    while passed >= ceil(total * wanted[cardinality(marks) + 1])
    loop
      marks := marks || case when place <= 20 then place - 1 else round(20 * 1.05::float8 ^ (place - 20.5) * 10) / 10 end;
    end loop;
    exit when cardinality(marks) = 4;
  end loop;
  return nullif(marks, '{}');
end
$$;

create function private.added(one bigint[], other bigint[]) returns bigint[] language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if one is null or other is null then
    return coalesce(one, other);
  end if;
  -- As long as nothing sorts or joins, `unnest` keeps the order of the arrays.
  return array(select coalesce(t.a, 0) + coalesce(t.b, 0) from unnest(one, other) as t (a, b));
end
$$;

-- A group's arrays added up: of an aggregate of our own nobody could say what its search path is.
create type private.tally as (n bigint[]);
create function private.sum_of(tallies private.tally[]) returns bigint[] language sql immutable parallel safe set search_path = '' as $$
  select nullif(array(select sum(e.n)::bigint from unnest(tallies) t, unnest(t.n) with ordinality e (n, place) group by e.place order by e.place), '{}')
$$;

create function private.negated(counts bigint[]) returns bigint[] language sql immutable parallel safe set search_path = '' as $$
  select case when counts is not null then array(select -t.a from unnest(counts) with ordinality as t (a, n) order by t.n) end
$$;

-- ---------------------------------------------------------------- daily totals
--
-- `key` says what of the `subject` is counted, `counts` and `histogram` what: see `private.totals_of`. `id` is made of
-- everything before `counts`. A row for each closing of a call would be too many to read; these are few at any number of calls.
create table public.daily_total (
  id uuid primary key,
  organization_id uuid not null references public.organization (id) on delete cascade,
  day date not null,
  workflow_id uuid,
  workflow_version_id uuid,
  version integer,
  channel text not null,
  is_test boolean not null,
  subject text not null check (subject in ('call', 'agent', 'path', 'refusal', 'variable', 'tool', 'turn', 'usage')),
  agent_id text,
  agent_name text,
  key jsonb not null,
  counts bigint[] not null,
  histogram bigint[],
  cost numeric,
  percentiles float8[] generated always as (private.percentiles(histogram)) stored
) with (fillfactor = 70);
create index daily_total_organization on public.daily_total (organization_id, subject, day);
create index daily_total_version on public.daily_total (workflow_version_id, subject, day);

do $$
declare
  t text;
begin
  foreach t in array array['call_fact', 'stay_fact', 'turn_fact', 'path_fact', 'variable_fact', 'tool_fact', 'usage_fact', 'daily_total']
  loop
    if t <> 'daily_total' then
      execute format('create index %I on public.%I (organization_id, day)', t || '_organization', t);
      execute format('create index %I on public.%I (workflow_version_id, day)', t || '_version', t);
    end if;
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from anon, authenticated', t);
    execute format('grant all on public.%I to service_role', t);
    execute format('grant select on public.%I to authenticated', t);
    execute format('create policy %I on public.%I for select to authenticated using (organization_id = any (array(select private.my_orgs())))',
                   t || '_select', t);
  end loop;
end
$$;

-- What is Patchbay's own and no tool's business, with what came here.
do $$
begin
  execute format('create or replace function patchbay.own_tables() returns text[] language sql immutable set search_path = '''' as %L',
    format('select %L::text[]', array(
      select distinct t from unnest(patchbay.own_tables() || array['call_fact', 'stay_fact', 'turn_fact', 'path_fact', 'variable_fact',
        'tool_fact', 'usage_fact', 'daily_total']) t order by t)));
end
$$;
