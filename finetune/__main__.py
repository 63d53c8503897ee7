"""Run the command line as `python -m finetune`."""

from finetune.cli import main

if __name__ == "__main__":
    main()
