-- Where do calls end, and where do callers give up?
select agent_name, sum(entered) as entered, sum(left_by_path) as went_on, sum(hung_up) as hung_up, sum(dropped_there) as dropped,
       round(100.0 * sum(hung_up + dropped_there) / sum(entered), 1) as lost_percent
from agent_funnel
where day >= current_date - 30
group by agent_name
order by lost_percent desc, entered desc;
