-- Why are paths refused: what is missing or wrong?
select path_name, reason, problem, variable, why, sum(refusals) as refusals
from path_refusal
where day >= current_date - 30
group by path_name, reason, problem, variable, why
order by refusals desc, path_name
limit 20;
