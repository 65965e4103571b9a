"""Self-contained HTML pages on systems and runs, for `isocline report`.

Read `findings` (plan, simulations and fluid, computed within a budget), then `routing`, `near_data`
and `run`, with the page of one kind each. `frame` assembles a page from sections, `tables` converts
tables of the terminal to HTML, `pictures` adapts matplotlib's pictures to the page's colours, and
`flow_graph` draws a graph of flows.
"""
