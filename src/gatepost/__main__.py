"""`python -m gatepost` is the command line."""

from gatepost.main.command_line import main

if __name__ == "__main__":
    main()
