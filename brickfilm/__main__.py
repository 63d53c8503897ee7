"""`python -m brickfilm.cli`."""

from brickfilm.cli import main

main()
