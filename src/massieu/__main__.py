"""python -m massieu: the command line."""

from massieu.cli import entry

if __name__ == "__main__":
    entry()
