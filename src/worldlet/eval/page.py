"""One self-contained HTML page: tables, pictures as data URIs, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from worldlet.eval.tables import Table, inline

STYLE = """
:root { --ink: #1d2129; --dim: #68707d; --line: #e1e4ea; --paper: #ffffff; --band: #f6f7f9; --good: #1c7c48;
  --fair: #946200; --bad: #b3261e; --code: #eef0f4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --dim: #9aa2af; --line: #343943; --paper: #16181d;
  --band: #1d2027; --good: #5fcf92; --fair: #e0b253; --bad: #ff8a80; --code: #262a32; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
p { margin: .3rem 0 .7rem; color: var(--dim); }
.lead { font-size: 1.02rem; }
code, pre { font: .92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; background: var(--code);
  border-radius: 4px; padding: .1em .35em; }
pre { padding: .8rem 1rem; overflow-x: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem; border-bottom: 2px solid var(--line); }
th, td { padding: .38rem .7rem .38rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
tbody tr:hover { background: var(--band); }
.number { white-space: nowrap; }
small { display: block; color: var(--dim); font-size: .78em; }
td:first-child { min-width: 15rem; }
.badge { display: inline-block; padding: 0 .55em; border-radius: 1em; font-size: .85em; font-weight: 600;
  border: 1px solid currentColor; white-space: nowrap; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); } .dim { color: var(--dim); }
.warning { border-left: 4px solid var(--bad); background: var(--band); padding: .8rem 1.1rem; margin: 1.2rem 0;
  border-radius: 0 6px 6px 0; }
.warning p { color: var(--ink); margin: 0; } .warning ul { margin: .4rem 0 0; padding-left: 1.2rem; }
figure { margin: 1rem 0 1.6rem; } figcaption { color: var(--dim); margin-bottom: .4rem; }
figure img { max-width: 100%; border: 1px solid var(--line); border-radius: 6px; background: #fff; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 0 1.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
"""
KINDS = {".png": "image/png", ".gif": "image/gif"}


def page(
    title: str,
    introduction: str,
    warnings: Sequence[str],
    tables: Sequence[Table],
    pictures: Sequence[tuple[str, Path]],
    command: str,
    facts: Sequence[tuple[str, str]],
    warning: str = "",
) -> str:
    """Return the page; ``pictures`` are captions and PNG or GIF files, ``facts`` names and texts.

    ``warning`` stands above the list of ``warnings``, where there are any.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<p class="lead">{inline(introduction)}</p>']
    if warnings:
        lines = "".join(f"<li>{inline(line)}</li>" for line in warnings)
        told = f"<p><b>{inline(warning)}</b></p>"
        body.append(f'<div class="warning">{told}<ul>{lines}</ul></div>')
    body += [table.html() for table in tables]
    if pictures:
        shown = "".join(_figure(caption, path) for caption, path in pictures)
        body.append(f'<section><h2>Pictures</h2><div class="gallery">{shown}</div></section>')
    body += ["<section><h2>Run</h2>", f"<pre>{escape(command)}</pre>", "<dl>"]
    body += [f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts]
    body.append("</dl></section>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    inner = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{inner}\n</body></html>\n'


def _figure(name: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img alt="{escape(name)}" src="data:{KINDS[path.suffix]};base64,{data}">'
    return f"<figure><figcaption>{escape(name)}</figcaption>{image}</figure>"
