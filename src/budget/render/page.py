"""A sweep as one HTML page: pictures for light and dark, tables, and what the numbers hold for."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from budget import __version__
from budget.planning.grid import Sweep
from budget.render.figure import picture
from budget.render.figure_look import DARK, LIGHT
from budget.render.figure_words import answers, in_words, picture_title, shown
from budget.render.screen import Cell, Table, cell_text
from budget.render.sweep_devices import devices_of
from budget.render.sweep_tables import caption, device_table, grid_table
from budget.render.sweep_words import facts, problems


def page(found: Sweep, name: str) -> bytes:
    """Charts and tables as one HTML document that needs no network and follows the reader's colour scheme."""
    light, dark = (_data_uri(picture(found, name, "svg", look)) for look in (LIGHT, DARK))
    text = _PAGE.format(
        title=escape(picture_title(found, name)),
        light=light,
        dark=dark,
        alt=escape(in_words(found)),
        answers="".join(f"<li>{escape(text)}</li>" for text in answers(found)),
        tables="".join(_tables(found)),
        facts="".join(f"<dt>{escape(k)}</dt><dd>{escape(shown(v))}</dd>" for k, v in facts(found, name)),
        version=escape(__version__),
    )
    return text.encode("utf-8", "replace")


def _data_uri(svg: bytes) -> str:
    """The picture inside the page: an image of its own, so that names in two pictures cannot collide."""
    return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"


def _tables(found: Sweep) -> list[str]:
    devices, rest = devices_of(found)
    if len(found.series) == 1:
        named: list[tuple[str, Table]] = [("GiB by device", device_table(found, devices))]
    else:
        named = [(caption(found, device), grid_table(found, device)) for device in devices]
    notes = [*rest, *(f"Note: {problem}" for problem in problems(found))]
    if any(_mark(cell) for _, table in named for row in table.rows for cell in row):
        notes.insert(0, "! is more than the device may use, ? not known.")
    return [*(_table(title, table) for title, table in named), *(f"<p>{escape(text)}</p>" for text in notes)]


def _table(title: str, table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(h.strip())}</th>' for h in table.headers)
    body = "".join(
        f'<tr><th scope="row">{escape(cell_text(row[0]))}</th>{"".join(map(_td, row[1:]))}</tr>'
        for row in table.rows
    )
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )


def _td(cell: Cell) -> str:
    bad = ' class="bad"' if not isinstance(cell, str) and cell[1] == "bad" else ""
    return f"<td{bad}>{escape(cell_text(cell))}</td>"


def _mark(cell: Cell) -> bool:
    return cell_text(cell).endswith(("!", "?"))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="budget {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --back: #ffffff; --text: #1f2328; --faint: #d1d9e0; --bad: #b3261e; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --back: #0d1117; --text: #e6edf3; --faint: #3d444d; --bad: #ff7b72; }}
}}
body {{
  background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere;
}}
h1 {{ font-size: 1.5rem; }}
img {{ max-width: 100%; height: auto; }}
.table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
caption {{ text-align: left; white-space: nowrap; font-weight: 600; padding: .2rem 0; }}
th, td {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--faint); white-space: nowrap; }}
th:first-child {{ text-align: left; }}
th[scope=row] {{ position: sticky; left: 0; background: var(--back); }}
td.bad {{ color: var(--bad); font-weight: 600; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0 0 .4rem 1rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<ul>{answers}</ul>
<picture>
<source srcset="{dark}" media="(prefers-color-scheme: dark)">
<img src="{light}" alt="{alt}">
</picture>
{tables}
<h2>What this holds for</h2>
<dl>{facts}</dl>
</main>
</body>
</html>
"""
