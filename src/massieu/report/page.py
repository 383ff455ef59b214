"""Self-contained HTML: tables and pictures in one file."""

from __future__ import annotations

import base64
import html
import io

from matplotlib.figure import Figure

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;border-bottom:1px solid #ddd;text-align:left}
img{max-width:100%}h1,h2{font-weight:600}code,pre{background:#f4f4f4;padding:.1em .3em}pre{padding:.8em;overflow:auto}
.note{color:#666;font-size:.9em}"""


def page(title: str, parts: list[str]) -> str:
    """A whole page."""
    body = "\n".join(part for part in parts if part)
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table with a heading row."""
    top = "".join(f"<th>{html.escape(c)}</th>" for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{lines}</table>"


def image(title: str, data: bytes) -> str:
    """A PNG picture inside the page, under a heading if there is a title."""
    heading = f"<h2>{html.escape(title)}</h2>" if title else ""
    return f'{heading}<img alt="{html.escape(title)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
