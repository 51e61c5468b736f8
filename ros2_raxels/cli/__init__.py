"""The command `raxels` and its subcommands."""
