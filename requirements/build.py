"""Print what building the project needs, as pyproject.toml says, one requirement per line."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
print(*project["build-system"]["requires"], *hook["dependencies"], sep="\n")
