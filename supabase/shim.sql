-- What hosted Supabase brings and a plain Postgres lacks: four roles and the schema `auth`. Our runner applies it where
-- `auth.uid()` or a role is missing; it changes nothing that is there. Roles belong to the whole server, so two databases
-- may be prepared at the same time: losing that race is no error.
do $$
declare
  wanted text;
begin
  foreach wanted in array array['anon nologin', 'authenticated nologin', 'authenticator nologin noinherit', 'service_role nologin bypassrls']
  loop
    if exists (select from pg_catalog.pg_roles where rolname = split_part(wanted, ' ', 1)) then
      continue;
    end if;
    begin
      execute 'create role ' || wanted;
    exception
      when duplicate_object or unique_violation then
        null;
      when insufficient_privilege then
        -- Before version 16 only a superuser hands out bypassrls, since then only a role that has it. The owner of the tables
        -- is not held by their policies, so Patchbay itself works without.
        if wanted not like '%bypassrls' then
          raise;
        end if;
        execute 'create role service_role nologin';
    end;
  end loop;
end
$$;

do $$
begin
  if not pg_catalog.pg_has_role('authenticator', 'service_role', 'member') then
    grant anon, authenticated, service_role to authenticator;
  end if;
exception
  when insufficient_privilege or unique_violation then
    raise notice 'authenticator could not be made a member of anon, authenticated and service_role: PostgREST needs that, Patchbay does not';
end
$$;

create schema if not exists auth;

do $$
begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable set search_path = '' as
      $f$ select coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb $f$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable set search_path = '' as
      $f$ select nullif(coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                                 nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'), '')::uuid $f$;
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable set search_path = '' as
      $f$ select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                          nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role') $f$;
  end if;
end
$$;

grant usage on schema auth to anon, authenticated, service_role;
grant execute on function auth.jwt(), auth.uid(), auth.role() to anon, authenticated, service_role;
