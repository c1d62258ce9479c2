-- Which tools fail, how, and how long do they take?
select name as tool, coalesce(error_code, 'none') as error, count(*) as runs,
       percentile_disc(0.5) within group (order by duration_ms) as median_ms, max(duration_ms) as slowest_ms
from tool_fact
where not is_test and day >= current_date - 30
group by name, error_code
order by tool, runs desc;
