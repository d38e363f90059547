"""The command line: one module a command group, options and views that they share. Everything that prints is here."""
