"""The commands: one module each, registered in :mod:`aimctl.cli.app`."""
