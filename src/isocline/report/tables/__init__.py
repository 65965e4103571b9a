"""Tables on a terminal, with a module for the results of each verb.

Read `style` first: a table is a list of columns, each a label, a field of a record, and a format.
Then read `comparison` (policies side by side; `cluster` is its near-data half) and `plan`.
"""
