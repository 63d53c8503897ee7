"""Run finetune as a file: `colossalai run` starts files only."""

from finetune.__main__ import main

if __name__ == "__main__":  # the loader's processes import this file
    main()
