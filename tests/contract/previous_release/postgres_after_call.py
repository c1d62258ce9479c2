"""The SQL of the previous release's work after calls, as it was."""

_AFTER_CALL = "a.session_id, a.organization_id, a.status, a.attempts, a.due_at, a.leased_until, a.last_error"
# A `with` that locks is never folded into the update; as a subquery of `in` it could be run more than once, and lock more.
_AFTER_CALL_CLAIM = f"""
with due as (
  select session_id from public.after_call
  where status = 'pending' and (leased_until is null or leased_until <= $1)
    and due_at <= case when $3::uuid is null then $1 else 'infinity' end and ($3 is null or session_id = $3)
  order by due_at limit 1 for update skip locked
)
update public.after_call a set leased_until = $2, attempts = a.attempts + 1
from due where a.session_id = due.session_id returning {_AFTER_CALL}
"""  # noqa: S608 - our own constant
_AFTER_CALL_FINISH = """
with done as (
  update public.after_call set status = 'done', leased_until = null, last_error = null
  where session_id = $1 and status = 'pending' and leased_until = $2 returning session_id, organization_id
)
insert into public.webhook_delivery (session_id, organization_id, tool_index, name, due_at, created_at)
select done.session_id, done.organization_id, each.number - 1, each.name, $4, $4
from done cross join unnest($3::text[]) with ordinality as each (name, number)
on conflict (session_id, tool_index) do nothing
"""
_AFTER_CALL_POSTPONE = """
update public.after_call set status = $3, due_at = $4, last_error = $5, leased_until = null
where session_id = $1 and status = 'pending' and leased_until = $2
"""

_DELIVERY = """d.id, d.session_id, d.organization_id, d.tool_index, d.name, d.status, d.attempts, d.due_at, d.created_at,
  d.leased_until, d.last_attempt_at, d.delivered_at, d.last_status, d.last_error"""
_DELIVERY_CLAIM = f"""
with due as (
  select id from public.webhook_delivery
  where status = 'pending' and (leased_until is null or leased_until <= $1) and organization_id <> all ($4::uuid[])
    and due_at <= case when $3::uuid is null then $1 else 'infinity' end and ($3 is null or id = $3)
  order by due_at limit 1 for update skip locked
)
update public.webhook_delivery d set leased_until = $2, attempts = d.attempts + 1, last_attempt_at = $1
from due where d.id = due.id returning {_DELIVERY}
"""  # noqa: S608 - our own constant
_DELIVERY_SETTLE = """
update public.webhook_delivery
set status = $3, due_at = $4, delivered_at = $5, last_status = $6, last_error = $7, leased_until = null
where id = $1 and (leased_until = $2 or $3 = 'delivered')
"""
_DELIVERY_REVIVE = """
update public.webhook_delivery set status = 'pending', attempts = 0, due_at = $2, leased_until = null
where id = $1 and (leased_until is null or leased_until <= $2)
"""
_DELIVERY_ONE = f"select {_DELIVERY} from public.webhook_delivery d where d.id = $1"  # noqa: S608 - our own constant
_DELIVERIES = f"""
select {_DELIVERY} from public.webhook_delivery d
where d.organization_id = $1 and ($2::text is null or d.status = $2) and ($3::uuid is null or d.session_id = $3)
order by d.created_at desc, d.session_id, d.tool_index limit $4
"""  # noqa: S608 - our own constant
