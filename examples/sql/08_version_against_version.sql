-- Is the newest version better than the one before?
select w.name as workflow, c.version, sum(c.calls) as calls, round(100.0 * sum(c.completed) / sum(c.calls), 1) as completed_percent,
       round(sum(c.turns)::numeric / sum(c.calls), 1) as turns_per_call, round(sum(c.refusals)::numeric / sum(c.calls), 2) as refusals_per_call,
       sum(c.tool_failures) as tool_failures
from version_comparison c
join workflow w on w.id = c.workflow_id
group by w.name, c.version
order by w.name, c.version desc;
