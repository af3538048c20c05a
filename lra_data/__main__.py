"""`python -m lra_data` is the `lra-data` command."""

from lra_data.commands.main import main

if __name__ == "__main__":
    main()
