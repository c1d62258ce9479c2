-- agent_node, agent_tool, agent_path and path_variable, projected from workflow_version.config in the same transaction.
-- A draft may be faulty in any way (wrong types, doubled ids, missing targets): what cannot be read is left out, and saving never fails.
create function private.objects_of(value jsonb) returns table (item jsonb, ordinal bigint) language sql immutable set search_path = '' as $$
  select e.item, e.ordinal
  from jsonb_array_elements(case jsonb_typeof(value) when 'array' then value else '[]' end) with ordinality as e (item, ordinal)
  where jsonb_typeof(e.item) = 'object'
$$;

create function private.text_of(value jsonb) returns text language sql immutable set search_path = '' as $$
  select case when jsonb_typeof(value) in ('string', 'number', 'boolean') then value #>> '{}' end
$$;

create function private.object_of(value jsonb) returns jsonb language sql immutable set search_path = '' as $$
  select case jsonb_typeof(value) when 'object' then value end
$$;

create function private.project_agents(version public.workflow_version) returns void language sql set search_path = '' as $$
  insert into public.agent_node (organization_id, workflow_version_id, config_id, ordinal, name, instructions,
                                 stt_config, llm_config, tts_config, vad_config, metadata, position)
  select version.organization_id, version.id, private.text_of(a.item -> 'id'), a.ordinal,
         coalesce(private.text_of(a.item -> 'name'), ''), coalesce(private.text_of(a.item -> 'instructions'), ''),
         private.object_of(a.item -> 'stt'), private.object_of(a.item -> 'llm'), private.object_of(a.item -> 'tts'),
         private.object_of(a.item -> 'vad'), private.object_of(a.item -> 'metadata'), private.object_of(a.item -> 'position')
  from private.objects_of(version.config -> 'agents') a
  where private.text_of(a.item -> 'id') is not null
  on conflict do nothing
$$;

-- An agent's tool is written out, or names one of the shared tools by `tool_id`; what stands at the agent wins.
create function private.project_tools(version public.workflow_version) returns void language sql set search_path = '' as $$
  with shared as (
    select distinct on (private.text_of(t.item -> 'id')) private.text_of(t.item -> 'id') as id, t.item
    from private.objects_of(version.config -> 'tools') t order by private.text_of(t.item -> 'id'), t.ordinal
  ), used as (
    select n.id as agent_id, coalesce(s.item, '{}') || t.item as item
    from private.objects_of(version.config -> 'agents') a
    join public.agent_node n
      on n.workflow_version_id = version.id and n.config_id = private.text_of(a.item -> 'id') and n.ordinal = a.ordinal
    cross join lateral private.objects_of(a.item -> 'tools') t
    left join shared s on s.id = private.text_of(t.item -> 'tool_id')
  )
  insert into public.agent_tool (organization_id, agent_id, config_id, tool_type, config, display_name)
  select version.organization_id, agent_id, coalesce(private.text_of(item -> 'id'), private.text_of(item -> 'tool_id')),
         private.text_of(item -> 'tool_type'), coalesce(private.object_of(item -> 'config'), '{}'), private.text_of(item -> 'display_name')
  from used where private.text_of(item -> 'tool_type') is not null
$$;

-- The paths of a config, those of its agents and the global ones, with the rows their ends have.
create function private.paths_of(version public.workflow_version)
returns table (config_id text, from_agent_id uuid, item jsonb) language sql stable set search_path = '' as $$
  select private.text_of(p.item -> 'id'), n.id, p.item
  from private.objects_of(version.config -> 'agents') a
  join public.agent_node n
    on n.workflow_version_id = version.id and n.config_id = private.text_of(a.item -> 'id') and n.ordinal = a.ordinal
  cross join lateral private.objects_of(a.item -> 'paths') p
  where private.text_of(p.item -> 'id') is not null
  union all
  select private.text_of(p.item -> 'id'), null, p.item
  from private.objects_of(version.config -> 'global_paths') p
  where private.text_of(p.item -> 'id') is not null
$$;

create function private.project_paths(version public.workflow_version) returns void language sql set search_path = '' as $$
  insert into public.agent_path (organization_id, workflow_version_id, config_id, from_agent_id, to_agent_id, name, description, guard_condition, metadata)
  select version.organization_id, version.id, p.config_id, p.from_agent_id, n.id, coalesce(private.text_of(p.item -> 'name'), ''),
         private.text_of(p.item -> 'description'), private.text_of(p.item -> 'guard_condition'),
         p.item - array['id', 'name', 'description', 'guard_condition', 'target_agent_id', 'required_variables']
  from private.paths_of(version) p
  left join public.agent_node n on n.workflow_version_id = version.id and n.config_id = private.text_of(p.item -> 'target_agent_id')
  on conflict do nothing
$$;

-- A path's variable is defined where it stands, or by its name at the top of the config; what stands at the path wins.
create function private.project_variables(version public.workflow_version) returns void language sql set search_path = '' as $$
  with declared as (
    select distinct on (private.text_of(d.item -> 'name')) private.text_of(d.item -> 'name') as name, d.item
    from private.objects_of(version.config -> 'variables') d order by private.text_of(d.item -> 'name'), d.ordinal
  ), used as (
    select distinct on (r.id, private.text_of(v.item -> 'name')) r.id as path_id, private.text_of(v.item -> 'name') as name,
           coalesce(d.item, '{}') || v.item as item
    from private.paths_of(version) p
    join public.agent_path r
      on r.workflow_version_id = version.id and r.config_id = p.config_id and r.from_agent_id is not distinct from p.from_agent_id
    cross join lateral private.objects_of(p.item -> 'required_variables') v
    left join declared d on d.name = private.text_of(v.item -> 'name')
    where private.text_of(v.item -> 'name') is not null
    order by r.id, private.text_of(v.item -> 'name'), v.ordinal
  )
  insert into public.path_variable (organization_id, path_id, name, description, is_required, data_type, definition)
  select version.organization_id, path_id, name, private.text_of(item -> 'description'),
         case item -> 'is_required' when 'false'::jsonb then false else true end,
         coalesce(private.text_of(item -> 'data_type'), 'string'), item
  from used
$$;

create function private.project_version() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public.agent_node where workflow_version_id = new.id;
  delete from public.agent_path where workflow_version_id = new.id;
  perform private.project_agents(new);
  perform private.project_tools(new);
  perform private.project_paths(new);
  perform private.project_variables(new);
  return null;
exception
  -- The projection is a convenience for dashboards; the config is the truth and has to be saved.
  when data_exception or integrity_constraint_violation or program_limit_exceeded then
    delete from public.agent_node where workflow_version_id = new.id;
    delete from public.agent_path where workflow_version_id = new.id;
    raise warning 'version % of workflow % is saved, but could not be projected: %', new.version, new.workflow_id, sqlerrm;
    return null;
end
$$;
create trigger workflow_version_project after insert or update of config on public.workflow_version
  for each row execute function private.project_version();
