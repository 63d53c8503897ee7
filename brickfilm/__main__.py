"""Run the command line as `python -m brickfilm`."""

from brickfilm.cli import main

if __name__ == "__main__":
    main()
