-- How many calls were there each day, by channel, and how long were they?
select day, channel, sum(calls) as calls, sum(dropped) as dropped,
       round((sum(duration_avg_ms * calls) / sum(calls) / 1000)::numeric, 1) as mean_seconds
from version_comparison
where day >= current_date - 30
group by day, channel
order by day desc, channel;
