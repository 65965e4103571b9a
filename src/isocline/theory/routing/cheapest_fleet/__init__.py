"""Cheapest fleet for a target, with a lower bound that any costs of jobs prove.

Of each type k a fleet has n_k machines. Alike machines share their inflow A alike, and hold
n C(A / n) jobs, C the inverse of their curve: the perspective of a convex function, and so jointly
convex in (n, A). By Little's law a mean latency T allows T times the arrival rate as many jobs, so
that the cheapest fleet is a convex program but for n being whole:

    least price . n   with   sum_k n_k C_k(A_k / n_k) <= T sum_f rate_f,   A_k = sum_f w_fk y_fk,
                             sum_k y_fk = rate_f,   y >= 0,   at_least <= n <= at_most.

Flows need not be variables of it. Given n the best flow is a level flow, and by weak duality *any*
costs c_f >= 0 of jobs at the frontends give a linear inequality that every fleet which holds the
target satisfies (`requirements`): a machine of type k, paid p_k = max_f c_f / w_fk for each job's
work, earns at most C*_k(p_k) = max_N (p_k l_k(N) - N) jobs, and

    sum_k C*_k(p_k) n_k >= sum_f c_f rate_f - T sum_f rate_f.

So the problem is a covering program, min price . n with W n >= d, whose rows are found one by one
where they are violated: with the costs of the optimal flow a row is tangent to the jobs as a
function of n. Other targets (`target`) have rows of their own. Read `requirements`, then
`flow_at_counts` (costs of the best flow), `covering` (bounds, by multipliers of the rows) and
`search` (branch and bound). The bound holds for every routing policy, as that of Eq. (1) of the
GMSR paper does (Lemma 1), which it rests on.
"""
