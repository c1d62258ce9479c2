-- Every event has a session, of the same organization, and goes with it: what a foreign key kept, which asked once a row and took a
-- third of what storing an event costs the database, now asked once a statement. docs/decisions/0017-events-by-the-batch.md says why.

create function private.say_sessionless(session_id uuid, organization_id uuid) returns void language plpgsql set search_path = '' as $$
begin
  raise foreign_key_violation using
    message = 'insert or update on table "session_event" violates foreign key constraint "session_event_session_id_organization_id_fkey"',
    detail = format('Key (session_id, organization_id)=(%s, %s) is not present in table "call_session".', session_id, organization_id),
    schema = 'public', table = 'session_event', constraint = 'session_event_session_id_organization_id_fkey';
end
$$;

-- `for key share`, as a foreign key does it: who deletes the session is waited for, and until we are through nobody can.
create function private.need_sessions() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  stray record;
begin
  with named as materialized (
    select distinct a.session_id, a.organization_id from added a
  ), held as (
    select s.id, s.organization_id from public.call_session s where s.id in (select n.session_id from named n) order by s.id for key share
  )
  select n.session_id, n.organization_id into stray from named n
  where not exists (select from held h where h.id = n.session_id and h.organization_id = n.organization_id) limit 1;
  if found then
    perform private.say_sessionless(stray.session_id, stray.organization_id);
  end if;
  return null;
end
$$;
create trigger session_event_has_session after insert on public.session_event
  referencing new table as added for each statement execute function private.need_sessions();

-- Nobody does so; a row for each would be cheap.
create function private.need_session() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform from public.call_session s where s.id = new.session_id and s.organization_id = new.organization_id for key share;
  if not found then
    perform private.say_sessionless(new.session_id, new.organization_id);
  end if;
  return null;
end
$$;
create trigger session_event_keeps_session after update of session_id, organization_id on public.session_event
  for each row execute function private.need_session();

create function private.forget_events() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.session_event e using gone g where e.session_id = g.id;
  return null;
end
$$;
create trigger call_session_gone after delete on public.call_session
  referencing old table as gone for each statement execute function private.forget_events();

create function private.forget_all_events() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  truncate public.session_event;
  return null;
end
$$;
create trigger call_session_emptied after truncate on public.call_session
  for each statement execute function private.forget_all_events();

create function private.keep_session() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.session_event e where e.session_id = old.id) then
    raise foreign_key_violation using
      message = 'update or delete on table "call_session" violates foreign key constraint "session_event_session_id_organization_id_fkey" on table "session_event"',
      detail = format('Key (id, organization_id)=(%s, %s) is still referenced from table "session_event".', old.id, old.organization_id),
      schema = 'public', table = 'session_event', constraint = 'session_event_session_id_organization_id_fkey';
  end if;
  return null;
end
$$;
create trigger call_session_moved after update of id, organization_id on public.call_session
  for each row when (old.id <> new.id or old.organization_id <> new.organization_id) execute function private.keep_session();

revoke execute on function private.say_sessionless(uuid, uuid), private.need_sessions(), private.need_session(), private.forget_events(),
  private.forget_all_events(), private.keep_session() from public;

alter table public.session_event drop constraint session_event_session_id_organization_id_fkey;

-- PostgREST embeds what a foreign key leads to; these two lead there for it: select=id,session_event(seq,event_type).
create function public.session_event(public.call_session) returns setof public.session_event rows 100
language sql stable set search_path = '' as $$ select * from public.session_event e where e.session_id = $1.id $$;
create function public.call_session(public.session_event) returns setof public.call_session rows 1
language sql stable set search_path = '' as $$ select * from public.call_session s where s.id = $1.session_id $$;
revoke execute on function public.session_event(public.call_session), public.call_session(public.session_event) from public, anon;
grant execute on function public.session_event(public.call_session), public.call_session(public.session_event) to authenticated, service_role;

create or replace function patchbay.own_functions() returns text[] language sql immutable set search_path = '' as $$
  select array[
    'public.save_draft(uuid, text, jsonb)', 'public.publish_version(uuid)', 'public.create_draft(uuid, jsonb, uuid)',
    'public.publish_revision(uuid, integer)', 'public.create_organization(text)',
    'public.analytics(uuid, date, date, text, boolean, uuid)', 'public.live_events(uuid, jsonb, uuid, text, boolean)',
    'public.sessions_page(uuid, uuid, uuid, text, text, timestamptz, timestamptz, text, boolean, timestamptz, uuid, integer)',
    'public.retry_delivery(uuid)', 'public.session_event(public.call_session)', 'public.call_session(public.session_event)'
  ]
$$;
