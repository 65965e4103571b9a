"""Reports: tables, pictures, files and pages; one module per table and per picture.

Read `tables/` (terminal), `plots/` (pictures), `export/` (files) and `pages/` (HTML); `reproduce/`
makes the papers' figures. The modules in this folder have wording that several of them share.
"""
