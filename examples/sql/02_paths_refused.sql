-- Which paths does the model ask for in vain, and how often?
select agent_name, path_name, sum(requested) as requested, sum(taken) as taken, sum(refused) as refused,
       round(100.0 * sum(taken) / sum(requested), 1) as taken_percent
from path_conversion
where day >= current_date - 30
group by agent_name, path_name
order by refused desc, path_name;
