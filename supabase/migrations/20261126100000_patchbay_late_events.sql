-- How many events of a batch came late is told to who sent it, so that a worker can count them.

create or replace function public.patchbay_store_append(events jsonb) returns jsonb language sql set search_path = '' as $$
  with given as materialized (
    select g.session_id, g.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at, g.secret, coalesce(g.epoch, 1) as epoch
    from jsonb_to_recordset($1) as g (session_id uuid, organization_id uuid, seq integer, event_type text, payload jsonb,
      agent_id text, occurred_at timestamptz, secret text, epoch integer)
  ), owned as (
    select s.id, s.epoch, s.ended_at from public.call_session s where s.id in (select g.session_id from given g) order by s.id for share
  ), secrets as (
    insert into public.call_secret (session_id, seq, ciphertext)
    select g.session_id, g.seq, g.secret from given g join owned o on o.id = g.session_id
    where g.secret is not null and o.ended_at is null and g.epoch >= o.epoch
    on conflict do nothing
  ), late as materialized (
    select g.* from given g join owned o on o.id = g.session_id
    where g.epoch < o.epoch
      and not exists (select from public.session_event e where e.session_id = g.session_id and e.seq = g.seq and e.epoch = g.epoch)
  ), kept as (
    insert into public.late_event (session_id, organization_id, seq, epoch, event_type, payload, agent_id, occurred_at)
    select l.session_id, l.organization_id, l.seq, l.epoch, l.event_type, l.payload, l.agent_id, l.occurred_at from late l
    on conflict do nothing
  ), stored as (
    insert into public.session_event (session_id, organization_id, seq, event_type, payload, agent_id, occurred_at, epoch)
    select g.session_id, g.organization_id, g.seq, g.event_type, g.payload, g.agent_id, g.occurred_at, g.epoch
    from given g left join owned o on o.id = g.session_id where o.id is null or g.epoch >= o.epoch
    on conflict (session_id, seq) do nothing
  )
  select to_jsonb((select count(*) from late))
$$;
