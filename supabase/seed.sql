-- The local organization: what commands mean where PATCHBAY_ORG names no other.
insert into public.organization (id, name)
values ('00000000-0000-4000-8000-000000000001', 'local')
on conflict (id) do nothing;
