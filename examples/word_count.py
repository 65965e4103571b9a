"""Words of many texts, counted at the nodes that hold them.

isocline run examples/word_count.py

Three nodes with a directory each; every text is in two of them. For your own data give directories
that are there, and leave out the first half.
"""

import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

corpus = TemporaryDirectory()  # gone at the end
nodes = {name: Path(corpus.name, name) for name in ("ash", "elm", "oak")}
draw = random.Random(1)
for number in range(24):
    text = " ".join(
        draw.choices(["to", "be", "or", "not", "that", "is", "the", "question"], k=20_000)
    )
    for node in draw.sample(list(nodes), 2):
        nodes[node].mkdir(exist_ok=True)
        (nodes[node] / f"text-{number:02}.txt").write_text(text)


def load(path):
    """What `run` gets; at a node that does not hold the text, after it was fetched."""
    return path.read_text()


def run(text):
    """Of one text; the result is one line of JSON."""
    words = Counter(text.split())
    return {"words": words.total(), "most": words.most_common(1)}
