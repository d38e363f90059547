"""`python -m xpert_cli`, the same as `xpert`."""

from xpert_cli.cli import main

if __name__ == "__main__":
    main()
