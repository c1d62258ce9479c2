"""The SQL of the Postgres store; each constant is one statement, and so one transaction."""

ORGANIZATION = "select id, name from public.organization where id::text = $1 or name = $1 order by id::text = $1 desc, created_at, id limit 1"
# Names need not be unique (two tenants may both be called Acme), so two makers of one name wait for each other.
ORGANIZATION_LOCK = "select pg_advisory_xact_lock(hashtextextended('patchbay organization ' || $1, 0))"
ORGANIZATION_INSERT = "insert into public.organization (name) values ($1) returning id, name"

SAVE_DRAFT = "select id from public.save_draft($1, $2, $3::text::jsonb)"
PUBLISH = "select id from public.publish_version($1)"

_VERSION = """
select v.id, v.workflow_id, w.name as workflow_name, v.organization_id, v.version, v.status, v.config, v.created_at, v.published_at
from public.workflow_version v join public.workflow w on w.id = v.workflow_id
"""
VERSION = _VERSION + "where v.id = $1"
VERSION_PUBLISHED = _VERSION + "where v.workflow_id = $1 and v.status = 'published'"
VERSIONS = _VERSION + "where v.workflow_id = $1 order by v.version desc"

WORKFLOWS = """
select w.id, w.organization_id, w.name, w.description, max(v.version) as latest_version,
       max(v.version) filter (where v.status = 'published') as published_version, w.created_at, w.updated_at
from public.workflow w left join public.workflow_version v on v.workflow_id = w.id
where w.organization_id = $1 group by w.id order by w.name
"""
WORKFLOW_ID = "select id from public.workflow where organization_id = $1 and (id::text = $2 or name = $2) order by id::text = $2 desc limit 1"
WORKFLOW_NAMES = "select name from public.workflow where organization_id = $1"
VERSION_NUMBERS = "select version from public.workflow_version where workflow_id = $1"

VARIABLE_SET = """
insert into public.workspace_variable (organization_id, name, value, secret)
values ($1, $2, case when $4 then null else $3 end, case when $4 then $3 end)
on conflict (organization_id, name) do update set value = excluded.value, secret = excluded.secret
"""
VARIABLE_REMOVE = "delete from public.workspace_variable where organization_id = $1 and name = $2 returning name"
VARIABLE_REPLACE = """
update public.workspace_variable set secret = $4
where organization_id = $1 and name = $2 and secret = $3 returning name
"""
VARIABLES = """
select name, coalesce(secret, value) as value, is_secret, updated_at
from public.workspace_variable where organization_id = $1 order by name
"""

_NUMBER = """
select n.number, n.organization_id, n.workflow_id, w.name as workflow_name, n.is_default, n.description
from public.phone_number n left join public.workflow w on w.id = n.workflow_id
"""
NUMBER = _NUMBER + "where n.organization_id = $1 and n.number = $2"
NUMBERS = _NUMBER + "where n.organization_id = $1 order by n.number"
NUMBER_SET = """
insert into public.phone_number (organization_id, number, workflow_id, description) values ($1, $2, $3, $4)
on conflict (organization_id, number) do update
set workflow_id = excluded.workflow_id, description = coalesce(excluded.description, phone_number.description)
"""
NUMBER_REMOVE = "delete from public.phone_number where organization_id = $1 and number = $2 returning number"

DEFAULT_WORKFLOW_SET = "update public.organization set default_workflow_id = $2 where id = $1 returning id"
LIMITS_SET = """
update public.organization set max_concurrent_calls = $2, max_minutes_a_day = $3, dial_prefixes = $4
where id = $1 returning id
"""
# A call that began before midnight counts from then on. What has lasted longer than its workflow lets it is a lost call and not
# a long one; what nobody works at (`worker_id`) is an apology, and takes no place.
LOAD = """
with today as (select date_trunc('day', now(), 'UTC') as midnight), counted as (
  select ended_at, greatest(coalesce(answered_at, started_at), midnight) as from_at
  from today, public.call_session s left join public.workflow_version v on v.id = s.workflow_version_id
  where s.organization_id = $1 and not is_test and worker_id is not null
    and started_at > now() - interval '24 hours' and coalesce(ended_at, now()) >= midnight
    and (ended_at is not null or started_at > now() - make_interval(secs => 600 + case
          when jsonb_typeof(v.config #> '{session,max_duration_s}') = 'number'
          then least((v.config #>> '{session,max_duration_s}')::float8, 86400) else 3600 end))
)
select count(*) filter (where ended_at is null) as active_calls,
       coalesce(sum(greatest(extract(epoch from coalesce(ended_at, now()) - from_at), 0)), 0)::float8 / 60 as minutes_today
from counted
"""
# One statement: it sees one moment of the database, also through a transaction pooler.
DIRECTORY = f"""
select
  (select coalesce(jsonb_agg(t), '[]') from (
    select o.id, o.name, o.default_workflow_id, w.name as default_workflow_name, o.max_concurrent_calls, o.max_minutes_a_day, o.dial_prefixes
    from public.organization o left join public.workflow w on w.id = o.default_workflow_id
  ) t) as organizations,
  (select coalesce(jsonb_agg(t), '[]') from ({_NUMBER} order by n.number, n.organization_id) t) as numbers,
  (select coalesce(jsonb_agg(t), '[]') from (
    select v.workflow_id, w.name as workflow_name, v.organization_id, v.id as version_id, v.version
    from public.workflow_version v join public.workflow w on w.id = v.workflow_id where v.status = 'published'
  ) t) as published
"""  # noqa: S608 - our own constant
NOTIFY = "select pg_notify($1, $2)"

# Whoever opens a call that runs on a worker owns it: its first beat is due long before the lease runs out.
CALL_OPEN = """
with opened as (
  insert into public.call_session (id, organization_id, workflow_version_id, channel, direction, is_test, started_at, external_session_id,
    from_number, to_number, worker_id, runtime_version, room, answered_at, ended_at, status, end_reason, cost, variables, epoch)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19::text::jsonb, $20)
  on conflict (id) do nothing
  returning id, organization_id, worker_id, epoch, room, ended_at
)
insert into public.call_lease (session_id, organization_id, worker_id, epoch, leased_until, room)
select id, organization_id, worker_id, epoch, now() + interval '5 seconds', room
from opened where worker_id is not null and ended_at is null
"""
# The lease is locked before its session, as a take-over does: the other way round the two would wait for each other.
CALL_CLOSE = """
with lease as (
  select session_id from public.call_lease where session_id = $1 for update
), closed as (
  update public.call_session
  set ended_at = coalesce($2, ended_at, now()), status = $3, end_reason = $4, variables = $5::text::jsonb, answered_at = $6, cost = $7
  where id = $1 and epoch <= $8 and (select count(*) from lease) >= 0 returning id
)
select exists (select from closed) as closed from public.call_session where id = $1
"""
CALL_ANALYSIS = "update public.call_session set analysis = $2::text::jsonb where id = $1 returning id"
_CALL = """
select id, organization_id, workflow_version_id, channel, direction, is_test, started_at, external_session_id, from_number, to_number,
       worker_id, runtime_version, room, answered_at, ended_at, status, end_reason, cost::float8 as cost, variables, analysis, epoch
from public.call_session
"""
CALL = _CALL + "where id = $1"
CALLS = _CALL + "where organization_id = $1 and ($3 or not is_test) order by started_at desc, id limit $2"

# Each event names its `place` in `session`: to name two ids in every row takes longer than the join.
# `for share` waits for a take-over or a close that is under way and then finds the next epoch, or the call ended: secrets are for
# calls that run. In the order of ids, as a take-over locks them. A session that is not there fails as by a foreign key.
# Set-returning functions in a select list are read as they come; in `from` each would be written into a table of its own first.
# `offset 0` keeps the planner from reading all events there are in order to look a few up.
_APPEND = """
with given as not materialized (
  select unnest($4::int[]) as place, unnest($5::int[]) as seq, unnest($6::text[]) as event_type, unnest($7::text[])::jsonb as payload,
         unnest($8::text[]) as agent_id, to_timestamp(unnest($9::float8[])) as occurred_at
), session as (
  select * from unnest($1::uuid[], $2::uuid[], $3::int[]) with ordinality as g (id, organization_id, epoch, place)
), owned as (
  select id, epoch, ended_at from public.call_session where id = any ($1) order by id for share
), standing as (
  select s.id, s.organization_id, s.epoch, s.place::int as place, o.id is null or s.epoch >= o.epoch as rules, o.ended_at is null as runs,
         coalesce((select max(e.seq) from public.session_event e where e.session_id = s.id), 0) as last
  from session s left join owned o on o.id = s.id
), secrets as (
  insert into public.call_secret (session_id, seq, ciphertext)
  select s.id, g.seq, g.secret
  from (select unnest($10::int[]) as place, unnest($11::int[]) as seq, unnest($12::text[]) as secret) g join standing s using (place)
  where s.runs and s.rules
  on conflict do nothing
), late as (
  insert into public.late_event (session_id, organization_id, seq, epoch, event_type, payload, agent_id, occurred_at)
  select s.id, s.organization_id, g.seq, s.epoch, g.event_type, g.payload, g.agent_id, g.occurred_at
  from given g join standing s using (place)
  where exists (select from standing where not rules) and not s.rules
    and not exists (select from public.session_event e where e.session_id = s.id and e.seq = g.seq and e.epoch = s.epoch offset 0)
  on conflict do nothing
)
insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at, epoch)
select s.id, s.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at, s.epoch
from given g join standing s using (place)
where s.rules
"""
# To ask for conflicts costs a fifth of an insert. What is stored already is left out: events come in order, so nearly all are beyond
# the last one. Where another writes the same rows at this moment this fails for its unique index, and `APPEND_BESIDE` is for that.
APPEND = (
    _APPEND
    + """
  and (g.seq > s.last or not exists (select from public.session_event e where e.session_id = s.id and e.seq = g.seq offset 0))
"""
)
APPEND_BESIDE = _APPEND + "on conflict (session_id, seq) do nothing"
EVENTS = """
select e.session_id, e.organization_id, e.seq, e.event_type, e.payload, e.agent_id, e.occurred_at, s.ciphertext as secret, e.epoch
from public.session_event e left join public.call_secret s on s.session_id = e.session_id and s.seq = e.seq
where e.session_id = $1 order by e.seq
"""

TEST_SAVE = """
insert into public.test_session (id, organization_id, workflow_version_id, session_id, transcript, created_at)
values ($1, $2, $3, $4, $5::text::jsonb, $6)
on conflict (id) do update set session_id = excluded.session_id, transcript = excluded.transcript,
  workflow_version_id = excluded.workflow_version_id, created_at = excluded.created_at
"""
TESTS = """
select id, organization_id, workflow_version_id, session_id, transcript, created_at
from public.test_session where organization_id = $1 order by created_at desc, id limit $2
"""
