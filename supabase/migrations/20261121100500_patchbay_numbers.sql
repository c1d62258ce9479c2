-- Who answers a number without a row, what an organization may use up, and how a worker learns of changes.
--
-- `phone_number.number` is never null, so "any other number" cannot be a row of that table: it is the organization's
-- `default_workflow_id`. `phone_number.is_default` from now on means one thing only, the caller's number of calls that go out.
alter table public.organization
  add column default_workflow_id uuid,
  add column max_concurrent_calls integer check (max_concurrent_calls >= 0),
  add column max_minutes_a_day integer check (max_minutes_a_day >= 0),
  -- Empty: any number may be dialled.
  add column dial_prefixes text[] not null default '{}' check (
    array_position(dial_prefixes, null) is null
    and array_to_string(dial_prefixes, ',') ~ '^(\+[1-9][0-9]{0,14}(,\+[1-9][0-9]{0,14})*)?$'
  ),
  add constraint organization_default_workflow foreign key (default_workflow_id, id)
    references public.workflow (id, organization_id) on delete set null (default_workflow_id);
create index organization_default_workflow on public.organization (default_workflow_id);

update public.organization o set default_workflow_id = n.workflow_id
from public.phone_number n where n.organization_id = o.id and n.is_default and n.workflow_id is not null;

-- The payload is `table organization`; who listens reads the rows, for a notification may be lost. `tg_argv[0]` is the
-- column that holds the organization.
create function private.tell_changed() returns trigger language plpgsql set search_path = '' as $$
declare
  changed jsonb := case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
begin
  perform pg_catalog.pg_notify('patchbay_changed', tg_table_name || ' ' || (changed ->> tg_argv[0]));
  return null;
end
$$;
revoke execute on function private.tell_changed() from public;
grant execute on function private.tell_changed() to authenticated, service_role;

create trigger organization_changed after insert or update or delete on public.organization
  for each row execute function private.tell_changed('id');
create trigger phone_number_changed after insert or update or delete on public.phone_number
  for each row execute function private.tell_changed('organization_id');
create trigger workspace_variable_changed after insert or update or delete on public.workspace_variable
  for each row execute function private.tell_changed('organization_id');
create trigger workflow_changed after update of name or delete on public.workflow
  for each row execute function private.tell_changed('organization_id');
-- `patchbay_published` tells of what is published; this one of what is taken back.
create trigger workflow_version_withdrawn after update of status on public.workflow_version
  for each row when (old.status = 'published' and new.status <> 'published') execute function private.tell_changed('organization_id');

-- The owner says who answers; what an organization may use up is the operator's to say.
grant update (default_workflow_id) on public.organization to authenticated;
