"""``python -m gemmscope`` is ``gemmscope``."""

from gemmscope.cli import main

main()
