"""``python -m greenlang_secrets.cli``."""

from greenlang_secrets.cli import main

main()
