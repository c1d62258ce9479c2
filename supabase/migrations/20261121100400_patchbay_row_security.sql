-- Who sees and changes what. `array(select …)` lets the planner ask for a user's organizations once instead of once a row.
create function private.my_orgs() returns setof uuid language sql stable security definer set search_path = '' as $$
  select organization_id from public.organization_member where user_id = (select auth.uid())
$$;

create function private.my_orgs_as(variadic roles text[]) returns setof uuid language sql stable security definer set search_path = '' as $$
  select organization_id from public.organization_member where user_id = (select auth.uid()) and role = any (roles)
$$;

revoke execute on all functions in schema private from public;
grant usage on schema private to authenticated, service_role;
grant execute on function private.my_orgs(), private.my_orgs_as(text[]) to authenticated, service_role;

-- Hosted Supabase grants everything on new tables to everyone: begin from nothing. Only our own tables are named, for the
-- schema may be shared with others'.
do $$
declare
  t text;
begin
  foreach t in array array['organization', 'organization_member', 'workflow', 'workflow_version', 'agent_node', 'agent_tool', 'agent_path',
    'path_variable', 'workspace_variable', 'phone_number', 'price', 'call_session', 'session_event', 'call_secret', 'test_session']
  loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from anon, authenticated', t);
    execute format('grant all on public.%I to service_role', t);
  end loop;
end
$$;
revoke all on public.session_overview from anon, authenticated;
grant select on public.session_overview to service_role;
grant usage on sequence public.session_event_id_seq to service_role;
revoke execute on function public.save_draft(uuid, text, jsonb), public.publish_version(uuid) from public, anon;
grant execute on function public.save_draft(uuid, text, jsonb), public.publish_version(uuid) to authenticated, service_role;
-- The triggers run as whoever writes.
grant execute on function private.touch(), private.tell_published() to authenticated, service_role;

grant select on public.organization, public.organization_member, public.workflow, public.workflow_version, public.agent_node, public.agent_tool,
  public.agent_path, public.path_variable, public.phone_number, public.price, public.call_session, public.session_event, public.test_session,
  public.session_overview to authenticated;
-- Not `secret`, nor anything of call_secret: ciphertexts are for the service role alone.
grant select (id, organization_id, name, value, is_secret, created_at, updated_at) on public.workspace_variable to authenticated;

grant update (name) on public.organization to authenticated;
grant insert (organization_id, user_id, role), update (role), delete on public.organization_member to authenticated;
grant insert (organization_id, name, description), update (name, description), delete on public.workflow to authenticated;
grant insert (workflow_id, version, config), update (config, status, published_at), delete on public.workflow_version to authenticated;
grant insert (organization_id, name, value), update (name, value), delete on public.workspace_variable to authenticated;
grant insert (organization_id, number, workflow_id, is_default, description), update (number, workflow_id, is_default, description), delete
  on public.phone_number to authenticated;

do $$
declare
  t text;
begin
  -- Every member reads what belongs to the organization.
  foreach t in array array['organization_member', 'workflow', 'workflow_version', 'agent_node', 'agent_tool', 'agent_path', 'path_variable',
                           'workspace_variable', 'phone_number', 'call_session', 'session_event', 'test_session']
  loop
    execute format('create policy %I on public.%I for select to authenticated using (organization_id = any (array(select private.my_orgs())))',
                   t || '_select', t);
  end loop;

  -- Owners and builders change what is designed; calls and events are written by the service role alone.
  foreach t in array array['workflow', 'workflow_version', 'workspace_variable', 'phone_number']
  loop
    execute format($p$create policy %I on public.%I for insert to authenticated
                      with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))$p$, t || '_insert', t);
    execute format($p$create policy %I on public.%I for update to authenticated
                      using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))
                      with check (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))$p$, t || '_update', t);
    execute format($p$create policy %I on public.%I for delete to authenticated
                      using (organization_id = any (array(select private.my_orgs_as('owner', 'builder'))))$p$, t || '_delete', t);
  end loop;
end
$$;

create policy organization_select on public.organization for select to authenticated
  using (id = any (array(select private.my_orgs())));
create policy organization_update on public.organization for update to authenticated
  using (id = any (array(select private.my_orgs_as('owner')))) with check (id = any (array(select private.my_orgs_as('owner'))));
create policy organization_member_insert on public.organization_member for insert to authenticated
  with check (organization_id = any (array(select private.my_orgs_as('owner'))));
create policy organization_member_update on public.organization_member for update to authenticated
  using (organization_id = any (array(select private.my_orgs_as('owner')))) with check (organization_id = any (array(select private.my_orgs_as('owner'))));
create policy organization_member_delete on public.organization_member for delete to authenticated
  using (organization_id = any (array(select private.my_orgs_as('owner'))));
create policy price_select on public.price for select to authenticated using (true);
