"""``python -m antiscrape`` is the ``antiscrape`` command."""

from antiscrape.cli import main

main(prog_name="antiscrape")
