"""Tables, pictures and the files they are written to; one file per table and per picture.

Read `tables/` (terminal), `plots/` (pictures) and `export/` (files); `reproduce/` makes the papers'
figures. The modules here have words that several of them use.
"""
