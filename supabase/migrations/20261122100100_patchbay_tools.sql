-- What the tools `supabase_query` and `supabase_rpc` may reach: tables and functions that a builder exposes, one by one, and of
-- a table the rows of the caller's organization only. Everything runs as the role `patchbay_tool`, over Postgres and over
-- PostgREST alike, through two functions: `patchbay_select` and `patchbay_rpc`.
do $$
begin
  if exists (select from pg_catalog.pg_roles where rolname = 'patchbay_tool') then
    return;
  end if;
  create role patchbay_tool nologin noinherit;
  -- PostgREST sets it for each request; over Postgres each query brings its own deadline.
  alter role patchbay_tool set statement_timeout = '30s';
exception
  -- Roles belong to the whole server, so two databases may be migrated at the same time: losing that race is no error.
  when duplicate_object or unique_violation then
    null;
end
$$;

do $$
declare
  member text;
begin
  -- Who connects becomes patchbay_tool for a transaction: the owner of the database over Postgres, `authenticator` over PostgREST.
  foreach member in array array[current_user, 'authenticator']
  loop
    if exists (select from pg_catalog.pg_roles where rolname = member and not rolsuper) then
      execute format('grant patchbay_tool to %I', member);
    end if;
  end loop;
exception
  when insufficient_privilege or unique_violation then
    raise notice 'patchbay_tool could not be granted: let an administrator run: grant patchbay_tool to %, authenticator', current_user;
end
$$;

create schema patchbay;
revoke all on schema patchbay from public;
grant usage on schema patchbay to patchbay_tool;

-- Types and operators of extensions live there on hosted Supabase.
do $$
begin
  if to_regnamespace('extensions') is not null then
    grant usage on schema extensions to patchbay_tool;
  end if;
exception
  when insufficient_privilege then
    null;
end
$$;

-- The organization a tool works for, as policies and exposed functions read it; null outside of a tool.
create function patchbay.organization() returns uuid language sql stable set search_path = '' as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'organization_id')::uuid
$$;

-- Patchbay's own tables are no tool's business. A migration that makes one names it here, with `create or replace`.
create function patchbay.own_tables() returns text[] language sql immutable set search_path = '' as $$
  select array['organization', 'organization_member', 'workflow', 'workflow_version', 'agent_node', 'agent_tool', 'agent_path',
    'path_variable', 'workspace_variable', 'phone_number', 'price', 'call_session', 'session_event', 'call_secret', 'test_session',
    'session_overview', 'session_analysis', 'after_call', 'webhook_delivery', 'knowledge_base', 'knowledge_document', 'knowledge_chunk',
    'knowledge_lexeme', 'knowledge_vector']
$$;

create function patchbay.expose_table(target regclass, privileges text[] default array['select'], organization_column text default 'organization_id')
returns void language plpgsql set search_path = '' as $$
declare
  place record;
  kind text;
  mine text;
  counter text;
begin
  select n.nspname as space, c.relname as name, c.relkind into place
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = target;
  if place.relkind not in ('r', 'p') then
    raise exception '% is no table', target using hint = 'Only tables can be exposed: a view would show its owner''s rows. Write a function and expose that.';
  end if;
  if place.space in ('private', 'patchbay', 'auth', 'supabase_migrations', 'pg_catalog', 'information_schema')
     or place.space = 'public' and place.name = any (patchbay.own_tables()) then
    raise exception '% is not for tools', target using hint = 'Expose a table of your own.';
  end if;
  if cardinality(privileges) = 0 or not privileges <@ array['select', 'insert', 'update', 'delete'] then
    raise exception '% are no privileges of a tool', privileges using hint = 'Any of: select, insert, update, delete.';
  end if;
  select pg_catalog.format_type(a.atttypid, null) into kind
  from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = organization_column and a.attnum > 0 and not a.attisdropped;
  if kind is null then
    raise exception 'the table % has no column %, so nobody could tell whose a row is', target, organization_column
      using hint = format('Name the column that holds it: select patchbay.expose_table(%L, organization_column => ''…''). Or add one: alter table %s add column organization_id uuid not null references public.organization (id)', target, target);
  end if;
  if kind not in ('uuid', 'text', 'character varying') then
    raise exception 'the column % of % is a %, and an organization''s id is a uuid', organization_column, target, kind
      using hint = 'Make it a uuid (or a text with the id in it).';
  end if;

  execute format('alter table %s enable row level security', target);
  perform patchbay.unexpose_table(target);
  execute format('grant usage on schema %I to patchbay_tool', place.space);
  execute format('grant %s on %s to patchbay_tool', array_to_string(privileges, ', '), target);
  for counter in
    select pg_catalog.pg_get_serial_sequence(target::text, a.attname) from pg_catalog.pg_attribute a
    where 'insert' = any (privileges) and a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.attidentity = ''
  loop
    if counter is not null then
      execute format('grant usage on sequence %s to patchbay_tool', counter);
    end if;
  end loop;
  -- Restrictive, for policies are joined by `or` and somebody's `using (true)` for everyone would open the table. A table
  -- without it is not exposed.
  mine := format('%I = (select patchbay.organization()%s)', organization_column, case kind when 'uuid' then '' else '::text' end);
  execute format('create policy patchbay_tool_organization on %s as restrictive for all to patchbay_tool using (%s) with check (%s)', target, mine, mine);
  execute format('create policy patchbay_tool_rows on %s for all to patchbay_tool using (%s) with check (%s)', target, mine, mine);
end
$$;

create function patchbay.unexpose_table(target regclass) returns void language plpgsql set search_path = '' as $$
begin
  execute format('revoke all on %s from patchbay_tool', target);
  if exists (select from pg_catalog.pg_policy where polrelid = target and polname in ('patchbay_tool_organization', 'patchbay_tool_rows')) then
    execute format('drop policy if exists patchbay_tool_organization on %s', target);
    execute format('drop policy if exists patchbay_tool_rows on %s', target);
  end if;
end
$$;

create function patchbay.expose_function(target regprocedure, definer boolean default false) returns void language plpgsql set search_path = '' as $$
declare
  place record;
begin
  select n.nspname as space, p.prosecdef, p.prokind, p.provariadic into place
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where p.oid = target;
  if place.space in ('private', 'patchbay', 'auth', 'pg_catalog', 'information_schema')
     or target in ('public.save_draft(uuid, text, jsonb)'::regprocedure, 'public.publish_version(uuid)'::regprocedure,
                   'public.patchbay_select(jsonb)'::regprocedure, 'public.patchbay_rpc(text, jsonb)'::regprocedure) then
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

create function patchbay.unexpose_function(target regprocedure) returns void language plpgsql set search_path = '' as $$
begin
  execute format('revoke execute on function %s from patchbay_tool', target);
end
$$;

-- Faults of our own: PB400 asked wrongly, PB403 not exposed, PB404 not there, PB413 too much.
create function patchbay.named(name text) returns text[] language sql immutable set search_path = '' as $$
  select case when name ~ '^[^.]+$' then array['public', name] when name ~ '^[^.]+[.][^.]+$' then string_to_array(name, '.') else array['', ''] end
$$;

create function patchbay.exposed_table(name text) returns oid language plpgsql stable set search_path = '' as $$
declare
  found record;
begin
  select c.oid, c.relrowsecurity and exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = c.oid and p.polname = 'patchbay_tool_organization' and not p.polpermissive and p.polcmd = '*'
        and 'patchbay_tool'::regrole = any (p.polroles)
    ) as exposed into found
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where array[n.nspname, c.relname]::text[] = patchbay.named(name) and c.relkind in ('r', 'p', 'v', 'm', 'f');
  if found.oid is null then
    raise exception 'there is no table %', name using errcode = 'PB404';
  end if;
  if not found.exposed then
    raise exception 'the table % is not exposed to tools', name
      using errcode = 'PB403', hint = format('If it is meant to be: select patchbay.expose_table(%L)', name);
  end if;
  return found.oid;
end
$$;

create function patchbay.bounded(result jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  if octet_length(result::text) > 262144 then
    raise exception 'the result has more than 256 KiB' using errcode = 'PB413', hint = 'Name the columns, or lower the limit.';
  end if;
  return result;
end
$$;

-- `{"table", "columns": [], "filters": [{"column", "operator", "value"}], "order": [{"column", "descending"}], "limit"}` to a list of
-- objects. Names are looked up in the catalogue and quoted, values are cast to their column's type and bound.
create function public.patchbay_select(query jsonb) returns jsonb language plpgsql stable set search_path = pg_catalog, public, extensions, pg_temp as $$
declare
  target oid := patchbay.exposed_table(query ->> 'table');
  unknown text;
  chosen text;
  types text;
  conditions text;
  orders text;
  given jsonb;
  result jsonb;
begin
  select string_agg(coalesce(w.name, '?'), ', ') into unknown
  from (
    select c.name from jsonb_array_elements_text(query -> 'columns') c(name)
    union select f.item ->> 'column' from jsonb_array_elements(query -> 'filters') f(item)
    union select o.item ->> 'column' from jsonb_array_elements(query -> 'order') o(item)
  ) w
  where not exists (select from pg_attribute a where a.attrelid = target and a.attname = w.name and a.attnum > 0 and not a.attisdropped);
  if unknown is not null then
    raise exception 'the table % has no column %', query ->> 'table', unknown using errcode = 'PB404';
  end if;
  -- Below, a condition that came to nothing would be left out instead of refused.
  if exists (
    select from jsonb_array_elements(query -> 'filters') f(item)
    where coalesce(f.item ->> 'operator', '') not in ('eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'like', 'ilike', 'in', 'is')
       or f.item -> 'value' is null
       or f.item ->> 'operator' = 'is' and jsonb_typeof(f.item -> 'value') not in ('null', 'boolean')
       or f.item ->> 'operator' = 'in' and jsonb_typeof(f.item -> 'value') <> 'array'
  ) then
    raise exception 'a filter has an operator or a value that there is not' using errcode = 'PB400';
  end if;

  select string_agg(format('t.%I', a.attname), ', ' order by coalesce(c.place, a.attnum)) into chosen
  from pg_attribute a left join jsonb_array_elements_text(query -> 'columns') with ordinality c(name, place) on c.name = a.attname
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped
    and case when jsonb_array_length(query -> 'columns') > 0 then c.name is not null else has_column_privilege(target, a.attnum, 'select') end;

  select string_agg(', v' || f.n || ' ' || case when f.operator in ('like', 'ilike') then 'text' when f.operator = 'in' then f.type || '[]' else f.type end, '' order by f.n),
         string_agg(' and ' || case
           when f.operator in ('like', 'ilike') then format('t.%I::text %s v.v%s', f.name, f.operator, f.n)
           when f.operator = 'in' then format('t.%I = any (v.v%s)', f.name, f.n)
           when f.operator = 'is' then format('t.%I is %s', f.name, case f.value when 'null' then 'null' when 'true' then 'true' when 'false' then 'false' end)
           else format('t.%I %s v.v%s', f.name, case f.operator when 'eq' then '=' when 'neq' then '<>' when 'lt' then '<' when 'lte' then '<=' when 'gt' then '>' when 'gte' then '>=' end, f.n)
         end, '' order by f.n),
         jsonb_object_agg('v' || f.n, case when f.operator <> 'is' then f.value end)
  into types, conditions, given
  from (
    -- A type with its modifier would cut or pad the value instead of comparing it.
    select e.n, e.item ->> 'column' as name, e.item ->> 'operator' as operator, e.item -> 'value' as value, format_type(a.atttypid, -1) as type
    from jsonb_array_elements(query -> 'filters') with ordinality e(item, n)
    join pg_attribute a on a.attrelid = target and a.attname = e.item ->> 'column' and a.attnum > 0 and not a.attisdropped
  ) f;

  select string_agg(format('t.%I%s', o.item ->> 'column', case when (o.item -> 'descending')::boolean then ' desc nulls last' else '' end), ', ' order by o.n)
  into orders from jsonb_array_elements(query -> 'order') with ordinality o(item, n);

  execute format(
    'select coalesce(jsonb_agg(to_jsonb(patchbay__row)), ''[]'') from (select %s from %s t, jsonb_to_record($1) as v(v0 text%s) where true%s%s limit %s) patchbay__row',
    chosen, (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target),
    coalesce(types, ''), coalesce(conditions, ''), ' order by ' || orders, least(greatest((query ->> 'limit')::integer, 1), 1000)
  ) into result using coalesce(given, '{}');
  return patchbay.bounded(result);
end
$$;

-- Calls an exposed function by named arguments. Everyone may execute a function by default, so only an explicit grant to
-- patchbay_tool counts.
create function public.patchbay_rpc(called text, arguments jsonb) returns jsonb language plpgsql volatile set search_path = pg_catalog, public, extensions, pg_temp as $$
declare
  found record;
  target record;
  result jsonb;
begin
  select count(*) as there, count(*) filter (where p.exposed) as exposed, count(*) filter (where p.exposed and p.fits) as fits, min(p.id) filter (where p.exposed and p.fits) as id
  into found
  from (
    select f.oid::bigint as id, i.names @> k.names and i.names[:f.pronargs - f.pronargdefaults] <@ k.names as fits,
           f.prokind = 'f' and n.nspname <> 'patchbay' and f.oid not in ('public.patchbay_select(jsonb)'::regprocedure, 'public.patchbay_rpc(text, jsonb)'::regprocedure) and exists (select from aclexplode(f.proacl) a where a.grantee = 'patchbay_tool'::regrole and a.privilege_type = 'EXECUTE') as exposed
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace,
    lateral (
      select coalesce(array_agg(x.name order by x.place), '{}') as names
      from unnest(f.proargnames) with ordinality x(name, place) where coalesce(f.proargmodes[x.place], 'i') in ('i', 'b')
    ) i,
    lateral (select coalesce(array_agg(key), '{}') as names from jsonb_object_keys(arguments) key) k
    where array[n.nspname, f.proname]::text[] = patchbay.named(called)
  ) p;
  if found.there = 0 then
    raise exception 'there is no function %', called using errcode = 'PB404';
  end if;
  if found.exposed = 0 then
    raise exception 'the function % is not exposed to tools', called
      using errcode = 'PB403', hint = format('If it is meant to be: select patchbay.expose_function(%L)', called || '(…)');
  end if;
  if found.fits <> 1 then
    raise exception '% exposed functions % take these arguments', found.fits, called using errcode = 'PB400', hint = 'Give each argument by its name, and all that have no default.';
  end if;

  select format('%I.%I', n.nspname, f.proname) as name, f.proretset, f.prorettype,
         string_agg(format(', %I %s', a.name, format_type(a.type, -1)), '' order by a.place) filter (where a.name is not null) as types,
         string_agg(format('%I => patchbay__a.%I', a.name, a.name), ', ' order by a.place) filter (where a.name is not null) as given
  into target
  from pg_proc f join pg_namespace n on n.oid = f.pronamespace
  left join lateral (
    select x.name, x.type, x.place from unnest(
      (select array_agg(y.name order by y.place) from unnest(f.proargnames) with ordinality y(name, place) where coalesce(f.proargmodes[y.place], 'i') in ('i', 'b')),
      f.proargtypes::oid[]
    ) with ordinality x(name, type, place) where arguments ? x.name
  ) a on true
  where f.oid = found.id::oid group by n.nspname, f.proname, f.proretset, f.prorettype;

  execute format(
    'select %s from jsonb_to_record($1) as patchbay__a(patchbay__none text%s), %s(%s) as patchbay__r',
    case when target.prorettype = 'void'::regtype then 'null::jsonb' when target.proretset then 'coalesce(jsonb_agg(to_jsonb(patchbay__r)), ''[]'')' else 'to_jsonb(patchbay__r)' end,
    coalesce(target.types, ''), target.name, coalesce(target.given, '')
  ) into result using arguments;
  return patchbay.bounded(result);
end
$$;

revoke execute on all functions in schema patchbay from public;
revoke execute on function public.patchbay_select(jsonb), public.patchbay_rpc(text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.patchbay_select(jsonb), public.patchbay_rpc(text, jsonb) to patchbay_tool;
grant execute on function patchbay.organization(), patchbay.named(text), patchbay.exposed_table(text), patchbay.bounded(jsonb) to patchbay_tool;
-- A definer function and a member's policy may read it too; it tells nothing that its caller does not bring.
grant usage on schema patchbay to authenticated, service_role;
grant execute on function patchbay.organization() to authenticated, service_role;
