"""`python -m xpert_cli`, the same as `xpert`."""

from xpert_cli.cli.entry import main

if __name__ == "__main__":
    main()
