"""``python -m aimctl.cli`` is ``aimctl``."""

from aimctl.cli import main

main()
