"""Tables of benchmarks as csv files: rows are dicts."""

import csv
import io

from massieu.runs.checkpoint import write_atomically


def read(path):
    """The rows of a table, none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path, columns, rows):
    """All rows of a table; one that was there stays until the new one is whole."""
    path.parent.mkdir(exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
