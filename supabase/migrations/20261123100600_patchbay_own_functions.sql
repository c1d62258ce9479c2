-- Patchbay's own functions are no tool's business, as its tables are not.

-- A migration that makes one in `public` names it here, with `create or replace`; all that begin with patchbay_ are ours anyway.
-- With their arguments, for a builder's function may have the name of one of these.
create function patchbay.own_functions() returns text[] language sql immutable set search_path = '' as $$
  select array[
    'public.save_draft(uuid, text, jsonb)', 'public.publish_version(uuid)', 'public.create_draft(uuid, jsonb, uuid)',
    'public.publish_revision(uuid, integer)', 'public.create_organization(text)',
    'public.analytics(uuid, date, date, text, boolean, uuid)', 'public.live_events(uuid, jsonb, uuid, text, boolean)',
    'public.sessions_page(uuid, uuid, uuid, text, text, timestamptz, timestamptz, text, boolean, timestamptz, uuid, integer)',
    'public.retry_delivery(uuid)'
  ]
$$;
revoke execute on function patchbay.own_functions() from public;

-- As before, and what is refused is all that is ours.
create or replace function patchbay.expose_function(target regprocedure, definer boolean default false) returns void
language plpgsql set search_path = '' as $$
declare
  place record;
begin
  select n.nspname as space, p.proname as name, p.prosecdef, p.prokind, p.provariadic into place
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where p.oid = target;
  if place.space in ('private', 'patchbay', 'auth', 'supabase_migrations', 'pg_catalog', 'information_schema')
     or place.space = 'public' and (
       pg_catalog.starts_with(place.name, 'patchbay_')
       or exists (select from unnest(patchbay.own_functions()) f where pg_catalog.to_regprocedure(f) = target)
     ) then
    raise exception '% is not for tools', target using hint = 'Expose a function of your own.';
  end if;
  if place.prokind <> 'f' or place.provariadic <> 0 then
    raise exception '% cannot be called by a tool', target using hint = 'Write a plain function with named arguments: no procedure, aggregate or variadic.';
  end if;
  if place.prosecdef and not definer then
    raise exception '% is a security definer: it sees every organization''s rows', target
      using hint = format('Let it keep to patchbay.organization() in all it reads and writes; then: select patchbay.expose_function(%L, definer => true)', target);
  end if;
  execute format('grant usage on schema %I to patchbay_tool', place.space);
  execute format('grant execute on function %s to patchbay_tool', target);
end
$$;
