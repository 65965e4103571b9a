"""Envoy as the data plane: it carries requests, a module in it picks backends by a table of prices.

To be read in this order: `price_table`, the file through which Python tells the module what one
more job costs at each backend; `module.c`, which picks; `module_build`, which compiles it;
`policy_config`, which has Envoy use it; `policy_prices`, the prices of a routing policy; `replay`,
which holds the module's decisions to those of the router's core and of the simulator.
"""
