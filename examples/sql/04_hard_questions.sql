-- Which variables are hard to get: how often is each asked for, and how often is an answer refused?
select variable, data_type, sum(calls) as calls, round(100.0 * sum(collected) / sum(calls), 1) as collected_percent,
       round(sum(asks)::numeric / sum(calls), 2) as asks_per_call, sum(rejected) as rejected, sum(corrected) as corrected
from variable_collection
where day >= current_date - 30
group by variable, data_type
order by asks_per_call desc, variable;
