"""Text for the terminal."""

from __future__ import annotations


def named_numbers(row: dict[str, float]) -> str:
    """A row of metrics as one line."""
    return "  ".join(f"{name} {value:.6g}" for name, value in row.items())


def columns(rows: list[list[str]]) -> str:
    """Rows as text, aligned."""
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(max(map(len, rows)))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip() for row in rows)
