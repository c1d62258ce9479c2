-- Which calls are worth reading: those with the most refusals, failed tools and faults?
select f.session_id, f.started_at, f.status, f.end_reason, f.turns, f.refusals, f.tool_failures, f.faults
from call_fact f
where not f.is_test and f.day >= current_date - 7
order by f.refusals + f.tool_failures + f.faults desc, f.started_at desc
limit 20;
