-- What does a call cost, and who charges for it? A null cost has no price in the table price.
select provider, model, kind, sum(calls) as calls, sum(cost) as cost, currency, round(sum(cost) / nullif(sum(priced_calls), 0), 6) as cost_per_call
from call_cost
where day >= current_date - 30
group by provider, model, kind, currency
order by cost desc nulls last, provider, model;
