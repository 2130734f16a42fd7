"""The commands: one file each, exporting `command`; listed in `runner.cli.table`."""
