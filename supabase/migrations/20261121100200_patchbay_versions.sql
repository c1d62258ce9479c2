-- The life of a workflow's version: drafts are found by content, publishing is one step, what was published never changes.
create function private.version_before() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    select organization_id into new.organization_id from public.workflow where id = new.workflow_id;
    return new;
  end if;
  if (new.id, new.workflow_id, new.organization_id, new.version) is distinct from (old.id, old.workflow_id, old.organization_id, old.version) then
    raise exception 'version % of workflow % keeps its number and its workflow', old.version, old.workflow_id
      using errcode = 'restrict_violation', hint = 'Save a new draft instead.';
  end if;
  if old.status <> 'draft' and (new.config is distinct from old.config or new.status = 'draft') then
    raise exception 'version % of workflow % is % and does not change', old.version, old.workflow_id, old.status
      using errcode = 'restrict_violation', hint = 'Save a new draft and publish that.';
  end if;
  return new;
end
$$;
create trigger workflow_version_before before insert or update on public.workflow_version
  for each row execute function private.version_before();

-- The payload is the version's id; who listens reads the row, for a notification may be lost.
create function private.tell_published() returns trigger language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('patchbay_published', new.id::text);
  return null;
end
$$;
create trigger workflow_version_published after insert or update of status on public.workflow_version
  for each row when (new.status = 'published') execute function private.tell_published();

-- Returns the newest version of the workflow with just this config, or makes it as a draft (and the workflow).
create function public.save_draft(organization_id uuid, workflow_name text, config jsonb)
returns public.workflow_version language plpgsql set search_path = '' as $$
declare
  v_workflow_id uuid;
  found_version public.workflow_version;
begin
  insert into public.workflow (organization_id, name) values (save_draft.organization_id, workflow_name)
    on conflict on constraint workflow_organization_id_name_key do nothing;
  select w.id into v_workflow_id from public.workflow w
    where w.organization_id = save_draft.organization_id and w.name = workflow_name for no key update;
  select v.* into found_version from public.workflow_version v
    where v.workflow_id = v_workflow_id
      and v.config_hash = pg_catalog.md5(save_draft.config::text) and v.config = save_draft.config
    order by v.version desc limit 1;
  if found_version.id is null then
    insert into public.workflow_version (workflow_id, version, config)
      select v_workflow_id, coalesce(max(v.version), 0) + 1, save_draft.config
      from public.workflow_version v where v.workflow_id = v_workflow_id
      returning * into found_version;
  end if;
  return found_version;
end
$$;

-- Returns null where there is no such version. Publishing what is published changes nothing; an archived version may return (rollback).
create function public.publish_version(version_id uuid)
returns public.workflow_version language plpgsql set search_path = '' as $$
declare
  chosen public.workflow_version;
begin
  perform from public.workflow w
    where w.id = (select v.workflow_id from public.workflow_version v where v.id = version_id) for no key update;
  select v.* into chosen from public.workflow_version v where v.id = version_id;
  if chosen.id is null or chosen.status = 'published' then
    return chosen;
  end if;
  update public.workflow_version v set status = 'archived' where v.workflow_id = chosen.workflow_id and v.status = 'published';
  update public.workflow_version v set status = 'published', published_at = now() where v.id = version_id returning v.* into chosen;
  return chosen;
end
$$;
