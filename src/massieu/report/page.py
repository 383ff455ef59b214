"""Self-contained HTML: tables and pictures in one file."""

from __future__ import annotations

import base64
import html
import io

from matplotlib.figure import Figure

STYLE = """:root{color-scheme:light dark;--ink:#222;--paper:#fff;--line:#ccc;--soft:#555;--shade:#f3f3f3;--alarm:#a00}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e6e6;--paper:#16181c;--line:#444;--soft:#b4b4b4;--shade:#23262c;--alarm:#ff9b8f}}
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:var(--ink);
background:var(--paper)}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .9em;border-bottom:1px solid var(--line);text-align:left}
img{max-width:100%;background:#fff;border-radius:4px}h1,h2{font-weight:600}a{color:inherit}
code,pre{background:var(--shade);padding:.1em .3em}pre{padding:.8em;overflow:auto;white-space:pre-wrap}
.note{color:var(--soft);font-size:.9em}
.warning{color:var(--alarm);font-weight:bold;border:2px solid var(--alarm);border-radius:4px;padding:.5em .8em}
@media(max-width:30em){body{margin:1em auto;font-size:14px}td,th{padding:.25em .5em}}"""


def page(title: str, parts: list[str]) -> str:
    """A whole page."""
    body = "\n".join(part for part in parts if part)
    view = '<meta name=viewport content="width=device-width, initial-scale=1">'
    head = f"<meta charset=utf-8>{view}<title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{body}</main></body></html>"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table with a heading row, which scrolls by itself where the screen is narrow."""
    top = "".join(f"<th scope=col>{html.escape(c)}</th>" for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{top}</tr>{lines}</table></div>"


def image(title: str, data: bytes, alt: str = "") -> str:
    """A PNG picture inside the page, under a heading if there is a title; alt: what it shows, in words."""
    heading, words = f"<h2>{html.escape(title)}</h2>" if title else "", html.escape(alt or title)
    return f'{heading}<img alt="{words}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def svg(figure: Figure) -> bytes:
    """A figure as an SVG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
