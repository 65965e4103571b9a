"""Studies: figures that answer questions of our own, as `isocline reproduce` makes the papers'.

`python -m studies` lists them. They are run from a checkout and are not installed;
docs/reproduce.md says what they found. Each is one module, called as the figure is; `learning_runs`
has the runs of `gmsr_learning`.
"""

from isocline.report.reproduce import PAPERS, Figures

STUDIES = Figures(
    "python -m studies",
    __name__,
    {
        "gmsr-delay": "late news: GMSR herds, and a policy that looks ahead",
        "gmsr-layers": "routers behind routers: GMSR at two layers, against flat",
        "gmsr-learning": "GMSR that learns the service curves, and a slowdown",
        "neardata-policies": "all scheduling policies against load, with and without racks",
    },
    elsewhere={
        name: f"it is of the papers; run `isocline reproduce {name}`" for name in PAPERS.summaries
    },
)
