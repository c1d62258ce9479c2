-- Who makes an organization, and how many.

-- As before, and not for those who are signed in as nobody in particular, nor without end. In `private`, for what is a definer
-- belongs to no schema that an API shows.
create function private.create_organization(name text) returns public.organization language plpgsql security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  made public.organization;
begin
  if me is null or private.claims() ->> 'is_anonymous' = 'true' then
    raise exception 'only a signed-in user makes an organization' using errcode = 'insufficient_privilege';
  end if;
  if (select count(*) from public.organization_member m where m.user_id = me and m.role = 'owner') >= 50 then
    raise exception 'you own 50 organizations already'
      using errcode = 'program_limit_exceeded', hint = 'Let the operator make more, or leave one.';
  end if;
  insert into public.organization (name) values (create_organization.name) returning * into made;
  insert into public.organization_member (organization_id, user_id, role) values (made.id, me, 'owner');
  return made;
end
$$;
revoke execute on function private.create_organization(text) from public;
grant execute on function private.create_organization(text) to authenticated, service_role;

-- A signed-in user's own organization; they are its owner.
create or replace function public.create_organization(name text) returns public.organization
language sql security invoker set search_path = '' as $$
  select * from private.create_organization(name)
$$;
