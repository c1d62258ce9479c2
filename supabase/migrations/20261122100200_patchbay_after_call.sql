-- What is to be done once a call has ended, and the outbox of its webhooks.
--
-- A reader takes a row up until `leased_until` and settles it before then; after that the row is anybody's again.
create table public.after_call (
  session_id uuid primary key,
  organization_id uuid not null,
  status text not null default 'pending' check (status in ('pending', 'done', 'failed')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  leased_until timestamptz,
  last_error text,
  foreign key (session_id, organization_id) references public.call_session (id, organization_id) on delete cascade
);
create index after_call_due on public.after_call (due_at) where status = 'pending';
create index after_call_organization on public.after_call (organization_id);

-- Neither URL nor headers nor secrets: they are rendered anew for each attempt. `id` is what receivers tell repeats by.
create table public.webhook_delivery (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null,
  organization_id uuid not null,
  tool_index integer not null check (tool_index >= 0),
  name text not null,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  leased_until timestamptz,
  last_attempt_at timestamptz,
  delivered_at timestamptz,
  last_status integer,
  last_error text,
  unique (session_id, tool_index),
  foreign key (session_id, organization_id) references public.call_session (id, organization_id) on delete cascade
);
create index webhook_delivery_due on public.webhook_delivery (due_at) where status = 'pending';
create index webhook_delivery_recent on public.webhook_delivery (organization_id, created_at desc);

-- In the transaction that ends the call, so that none is forgotten; and it must not fail, or no call would end. A schema
-- version of configs that moves either key replaces this function.
create function private.remember_after_call() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.after_call (session_id, organization_id, due_at)
  select new.id, new.organization_id, new.ended_at
  from public.workflow_version v
  where v.id = new.workflow_version_id
    and (jsonb_typeof(v.config #> '{session,analysis}') = 'object'
         or case when jsonb_typeof(v.config #> '{session,on_end}') = 'array'
            then jsonb_array_length(v.config #> '{session,on_end}') > 0 else false end)
  on conflict (session_id) do nothing;
  return null;
end
$$;
revoke execute on function private.remember_after_call() from public;
create trigger call_session_remembered after update of ended_at on public.call_session
  for each row when (old.ended_at is null and new.ended_at is not null) execute function private.remember_after_call();

-- The runtime alone writes; members read what became of their webhooks.
alter table public.after_call enable row level security;
alter table public.webhook_delivery enable row level security;
revoke all on public.after_call, public.webhook_delivery from anon, authenticated;
grant all on public.after_call, public.webhook_delivery to service_role;
grant select on public.webhook_delivery to authenticated;
create policy webhook_delivery_select on public.webhook_delivery for select to authenticated
  using (organization_id = any (array(select private.my_orgs())));
