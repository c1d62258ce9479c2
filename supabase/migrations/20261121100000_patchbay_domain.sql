-- What a builder designs: organizations, workflows and their versions, and what is projected from a version's config.
create schema private;
revoke all on schema private from public;

create function private.touch() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

create table public.organization (
  id uuid primary key default gen_random_uuid(),
  name text not null check (name <> ''),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- `user_id` is that of auth.users, which a plain Postgres does not have: hence no foreign key.
create table public.organization_member (
  organization_id uuid not null references public.organization (id) on delete cascade,
  user_id uuid not null,
  role text not null default 'viewer' check (role in ('owner', 'builder', 'analyst', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (user_id, organization_id)
);
create index organization_member_organization on public.organization_member (organization_id);

create table public.workflow (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  name text not null check (name <> ''),
  description text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, name),
  unique (id, organization_id)
);

-- `config` is the truth; `config_hash` finds a version by its content. `organization_id` is filled in by a trigger.
create table public.workflow_version (
  id uuid primary key default gen_random_uuid(),
  workflow_id uuid not null,
  organization_id uuid not null,
  version integer not null check (version > 0),
  status text not null default 'draft' check (status in ('draft', 'published', 'archived')),
  published_at timestamptz,
  config jsonb not null,
  config_hash text generated always as (md5(config::text)) stored,
  created_at timestamptz not null default now(),
  unique (workflow_id, version),
  unique (id, organization_id),
  foreign key (workflow_id, organization_id) references public.workflow (id, organization_id) on delete cascade
);
create unique index workflow_version_published on public.workflow_version (workflow_id) where status = 'published';
create index workflow_version_content on public.workflow_version (workflow_id, config_hash);
create index workflow_version_organization on public.workflow_version (organization_id);

-- The four projected tables have ids of their own, since every version holds the config's ids anew; `config_id` is the config's.
create table public.agent_node (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  workflow_version_id uuid not null,
  config_id text not null,
  ordinal integer not null,
  name text not null,
  instructions text not null,
  stt_config jsonb,
  llm_config jsonb,
  tts_config jsonb,
  vad_config jsonb,
  metadata jsonb,
  position jsonb,
  created_at timestamptz not null default now(),
  unique (workflow_version_id, config_id),
  foreign key (workflow_version_id, organization_id) references public.workflow_version (id, organization_id) on delete cascade
);
create index agent_node_organization on public.agent_node (organization_id);

create table public.agent_tool (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  agent_id uuid not null references public.agent_node (id) on delete cascade,
  config_id text,
  tool_type text not null,
  config jsonb not null,
  display_name text,
  created_at timestamptz not null default now()
);
create index agent_tool_agent on public.agent_tool (agent_id);
create index agent_tool_organization on public.agent_tool (organization_id);

-- `from_agent_id` is null for a global path; `to_agent_id` for one that ends or transfers the call, or whose target is faulty.
create table public.agent_path (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  workflow_version_id uuid not null,
  config_id text not null,
  from_agent_id uuid references public.agent_node (id) on delete cascade,
  to_agent_id uuid references public.agent_node (id) on delete cascade,
  name text not null,
  description text,
  guard_condition text,
  metadata jsonb,
  created_at timestamptz not null default now(),
  unique (workflow_version_id, config_id),
  foreign key (workflow_version_id, organization_id) references public.workflow_version (id, organization_id) on delete cascade
);
create index agent_path_from on public.agent_path (from_agent_id);
create index agent_path_to on public.agent_path (to_agent_id);
create index agent_path_organization on public.agent_path (organization_id);

create table public.path_variable (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  path_id uuid not null references public.agent_path (id) on delete cascade,
  name text not null,
  description text,
  is_required boolean not null default true,
  data_type text not null default 'string',
  definition jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create index path_variable_path on public.path_variable (path_id);
create index path_variable_organization on public.path_variable (organization_id);

-- `value` is plain; `secret` is a Fernet token, which only the holder of PATCHBAY_SECRET_KEY can open.
create table public.workspace_variable (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  name text not null check (name <> ''),
  value text,
  secret text,
  is_secret boolean not null generated always as (secret is not null) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, name),
  check (num_nonnulls(value, secret) = 1)
);

-- The row marked `is_default` answers for a dialled number without a row, and is the caller's number of calls that go out.
create table public.phone_number (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organization (id) on delete cascade,
  number text not null check (number ~ '^\+[1-9][0-9]{1,14}$'),
  workflow_id uuid,
  is_default boolean not null default false,
  description text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, number),
  foreign key (workflow_id, organization_id) references public.workflow (id, organization_id) on delete set null (workflow_id)
);
create unique index phone_number_default on public.phone_number (organization_id) where is_default;
create index phone_number_number on public.phone_number (number);
create index phone_number_workflow on public.phone_number (workflow_id);

-- `price` is per single `unit` (token, character, second); the row in force is the newest whose `valid_from` has passed.
create table public.price (
  id uuid primary key default gen_random_uuid(),
  provider text not null,
  model text not null,
  unit text not null check (unit in ('input_token', 'cached_input_token', 'output_token', 'character', 'second', 'request')),
  price numeric not null check (price >= 0),
  currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
  valid_from timestamptz not null default now(),
  created_at timestamptz not null default now(),
  unique (provider, model, unit, valid_from)
);

create trigger organization_touch before update on public.organization for each row execute function private.touch();
create trigger workflow_touch before update on public.workflow for each row execute function private.touch();
create trigger workspace_variable_touch before update on public.workspace_variable for each row execute function private.touch();
create trigger phone_number_touch before update on public.phone_number for each row execute function private.touch();
