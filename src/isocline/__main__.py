"""`python -m isocline`."""

from isocline.cli import main

main(prog_name="isocline")
