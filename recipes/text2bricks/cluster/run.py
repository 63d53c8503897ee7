"""Run finetune as a file: `colossalai run` starts files only."""

from finetune.cli import main

if __name__ == "__main__":  # the loader's processes import this file
    main()
