"""`python -m deploy.cli` is the `lienxa` command."""

from deploy.cli.group import main

main()
