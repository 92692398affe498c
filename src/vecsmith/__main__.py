"""`python -m vecsmith` is `vecsmith`."""

from vecsmith.cli.main import main

main()
