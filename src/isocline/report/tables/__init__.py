"""Results as tables on a terminal, one module for each verb's.

Begin with `style`: a table is a list of columns, each a label, a field of a record, and a format.
Then `comparison` (policies side by side; `cluster` is its near-data half) and `plan`.
"""
