-- Where does the caller wait: each agent's response time over the last 30 days, by component?
with counted as (
  select agent_name, component, bucket, max(from_ms) as from_ms, max(to_ms) as to_ms, sum(turns) as turns
  from turn_histogram
  where day >= current_date - 30 and not is_test
  group by agent_name, component, bucket
), ranked as (
  select *, sum(turns) over (partition by agent_name, component order by bucket) as up_to, sum(turns) over (partition by agent_name, component) as total
  from counted
)
select agent_name, component, max(total) as turns,
       round(min(sqrt(from_ms * to_ms)) filter (where up_to >= total * 0.5)) as p50_ms,
       round(min(sqrt(from_ms * to_ms)) filter (where up_to >= total * 0.95)) as p95_ms
from ranked
group by agent_name, component
order by p95_ms desc;
