"""`python -m seqkd VERB` is the same as `seqkd VERB`."""

from seqkd.cli import main

if __name__ == "__main__":
    main()
