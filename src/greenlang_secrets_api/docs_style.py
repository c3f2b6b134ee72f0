"""The style sheet of `/docs`: dark and light as the reader has it, from a phone to print.

In the source, so that nothing is read from a file when the application is made.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --page: #fbfbf9;
  --card: #ffffff;
  --ink: #1d2320;
  --soft: #5a655f;
  --line: #e0e4dd;
  --code: #f1f4ee;
  --link: #13654a;
  --get: #1d6fb8;
  --head: #5f6f82;
  --post: #1a7f4e;
  --put: #a86400;
  --patch: #7c4fb0;
  --delete: #b3312b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161a;
    --card: #191f24;
    --ink: #e4e9e6;
    --soft: #9aa8a1;
    --line: #2c353b;
    --code: #20282e;
    --link: #6fd3a8;
    --get: #74b6f2;
    --head: #a5b3c4;
    --post: #67cf97;
    --put: #e6ac55;
    --patch: #c1a0ec;
    --delete: #f28b82;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0;
  background: var(--page);
  color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
a { color: var(--link); text-underline-offset: 0.15em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: 0.875em; background: var(--code); padding: 0.1em 0.35em; border-radius: 4px; white-space: nowrap; }
dt code, .type code, .address code, .problems code { white-space: normal; overflow-wrap: anywhere; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem; overflow-x: auto; margin: 0.6rem 0; line-height: 1.45; }
pre code { background: none; padding: 0; font-size: 0.85rem; white-space: pre; }
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: 0.5rem 1rem; z-index: 2; }

/* contents: above on a phone, beside from a tablet on */
nav { padding: 1rem 1.25rem; border-bottom: 1px solid var(--line); background: var(--card); font-size: 0.9rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav .brand { font-weight: 700; font-size: 1.05rem; margin: 0 0 0.5rem; }
nav .brand a { color: var(--ink); text-decoration: none; }
nav > ul > li { display: inline-block; margin-right: 1rem; }
nav > ul > li > ul { display: none; }
@media (min-width: 62rem) {
  body { display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; border-bottom: 0; border-right: 1px solid var(--line); }
  nav > ul > li { display: block; margin: 1rem 0 0; }
  nav > ul > li > a { font-weight: 600; color: var(--ink); text-decoration: none; }
  nav > ul > li > ul { display: block; margin-top: 0.25rem; }
  nav li li a { display: grid; grid-template-columns: 3.9rem 1fr; gap: 0.5rem; align-items: baseline; padding: 0.22rem 0.4rem; margin-left: -0.4rem; border-radius: 6px; color: var(--soft); text-decoration: none; line-height: 1.35; }
  nav li li a:hover { background: var(--code); color: var(--ink); }
}
main { width: 100%; max-width: 54rem; margin: 0 auto; padding: 1.5rem 1.25rem 5rem; }
h1 { font-size: 2rem; letter-spacing: -0.02em; margin: 0.5rem 0 1rem; line-height: 1.2; }
h1 small { font-size: 0.9rem; font-weight: 500; color: var(--soft); letter-spacing: 0; }
h2 { font-size: 1.4rem; letter-spacing: -0.01em; margin: 2.75rem 0 0.25rem; }
h2 + p { color: var(--soft); margin-top: 0; }
h3 { font-size: 1.1rem; margin: 0; }
h3 a { color: inherit; text-decoration: none; }
h3 a:hover::after { content: " #"; color: var(--soft); }
h4 { font-size: 0.78rem; text-transform: uppercase; letter-spacing: 0.06em; color: var(--soft); margin: 1.4rem 0 0.4rem; }
li + li { margin-top: 0.3rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.2rem 1.35rem; margin: 1rem 0; }
article:target { border-color: var(--link); box-shadow: 0 0 0 1px var(--link); }
article > p { margin: 0.6rem 0; }
.address { font-size: 1rem; }
.address > code { background: none; padding: 0 0 0 0.3rem; font-size: 0.95rem; }
.method, .status { display: inline-block; font: 700 0.72rem/1 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; letter-spacing: 0.03em; padding: 0.32em 0.5em; border-radius: 5px; border: 1px solid currentColor; text-align: center; }
nav .method { font-size: 0.62rem; padding: 0.28em 0.2em; }
.get { color: var(--get); } .head { color: var(--head); } .post { color: var(--post); }
.put { color: var(--put); } .patch { color: var(--patch); } .delete { color: var(--delete); }
.s2 { color: var(--post); } .s3 { color: var(--get); } .s4 { color: var(--put); } .s5 { color: var(--delete); }
.needs { display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; color: var(--soft); font-size: 0.9rem; }
.fields { margin: 0.3rem 0; display: grid; grid-template-columns: minmax(8.5rem, 12rem) minmax(0, 1fr); font-size: 0.92rem; }
.fields > dt, .fields > dd { margin: 0; padding: 0.5rem 0; border-top: 1px solid var(--line); }
.fields > dt { padding-right: 0.75rem; }
.fields > dt:first-of-type, .fields > dd:first-of-type { border-top: 0; }
.mark { color: var(--soft); font-size: 0.78rem; margin-left: 0.4rem; }
.type { color: var(--soft); font-size: 0.85rem; display: block; overflow-wrap: anywhere; }
@media (max-width: 38rem) {
  .fields { display: block; }
  .fields > dd { border-top: 0; padding-top: 0; }
  article { padding: 1rem; }
  main { padding-inline: 0.9rem; }
}
.answer { margin: 0.5rem 0 0.9rem; }
.answer > p { margin: 0.2rem 0; }
.answer .status, h3 .status { margin-right: 0.6rem; vertical-align: 0.1em; }
.aside { color: var(--soft); font-size: 0.85rem; }
.choice { border-left: 3px solid var(--line); padding-left: 0.9rem; margin: 0.6rem 0; }
.choice > p { margin: 0.2rem 0; font-size: 0.92rem; }
details { margin: 0.4rem 0; }
summary { cursor: pointer; color: var(--link); font-size: 0.9rem; width: fit-content; }
.problems { list-style: none; padding: 0; margin: 0.6rem 0 0; }
.problems li { display: grid; grid-template-columns: 3.4rem minmax(0, 1fr); align-items: baseline; gap: 0.2rem; }
.problems .status { justify-self: start; }
.problem { padding: 0.9rem 1.2rem; margin: 0.6rem 0; }
.problem > p { margin: 0.45rem 0; font-size: 0.95rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.85rem; }
@media print { nav, .skip { display: none; } body { display: block; } article { break-inside: avoid; } }
"""
"""As it stands in the page; its digest is in the page's policy."""
