"""The look of the page, on light and dark ground, from phone to desk."""

CSS = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #fff; --ink: #22262b; --soft: #636b74; --grid: #e4e6e8;
  --accent: #1473b3; --good: #00805c; --bad: #b84a00; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1d2126; --ink: #e6e8ea; --soft: #9aa3ad;
  --grid: #343a41; --accent: #56b4e9; --good: #3ccf9f; --bad: #ff9a52; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.2rem; border-bottom: 1px solid var(--grid); padding-bottom: .3rem; }
h3 { margin: 1.25rem 0 .5rem; font-size: 1rem; }
p { max-width: 90ch; margin: .5rem 0; }
.soft, figcaption, .kicker { color: var(--soft); font-size: .875rem; }
.kicker { margin: 0 0 .25rem; letter-spacing: .04em; text-transform: uppercase; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem; margin: .9rem 0 0; padding: 0; list-style: none;
  font-size: .85rem; }
.facts li { background: var(--card); border: 1px solid var(--grid); border-radius: 1rem; padding: .1rem .7rem;
  overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
.card { margin: 0; padding: .9rem; background: var(--card); border: 1px solid var(--grid);
  border-radius: .6rem; min-width: 0; }
figcaption b { display: block; color: var(--ink); font-size: .95rem; overflow-wrap: anywhere; }
figure svg, figure > img { display: block; width: 100%; height: auto; margin-top: .4rem; border-radius: .3rem; }
.scroll, section > .card { overflow-x: auto; } section > .card > svg { min-width: 680px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody th { text-align: left; font-weight: 500; }
th:first-child { text-align: left; }
.told td, .told th { white-space: normal; } .told { margin-top: .4rem; }
.wide { width: 100%; }
.scores { table-layout: fixed; } .scores th { white-space: normal; }
.scores td, .scores tbody th { font-size: 1.25rem; } .scores td:nth-child(2) { font-weight: 700;
  color: var(--accent); }
.bar { width: 45%; min-width: 8rem; } .bar i { display: block; height: .8rem; border-radius: .15rem;
  min-width: 1px; }
.grid, .facts + .grid, .card + .scroll, section > .card + .card, .soft + .scroll { margin-top: .9rem; }
.faces figcaption b { font-size: .82rem; }
.dot { display: inline-block; width: .7rem; height: .7rem; border-radius: .15rem; margin-right: .45rem; }
.confusion td { text-align: center; min-width: 3.2rem; border: 1px solid var(--grid);
  background: color-mix(in srgb, var(--accent) var(--share), transparent); }
.confusion td.right { font-weight: 700; outline: 2px solid var(--ink); outline-offset: -3px; }
.confusion small { display: block; font-size: .7rem; }
.hot { color: #fff; } @media (prefers-color-scheme: dark) { .hot { color: #10141a; } }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(118px, 1fr)); gap: .7rem; }
.faces figure { padding: .45rem; } .faces figcaption { font-size: .78rem; line-height: 1.35;
  margin-top: .35rem; color: var(--ink); }
.faces img { aspect-ratio: 1; object-fit: cover; margin: 0; image-rendering: auto; }
  .faces small { color: var(--soft); overflow-wrap: anywhere; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: .7rem; }
.pairs .card { padding: .45rem; display: grid; grid-template-columns: 1fr 1fr; gap: .1rem .45rem;
  align-content: start; }
.pairs img { width: 100%; margin: 0; aspect-ratio: 1; object-fit: contain; } .pairs figcaption { font-size: .78rem;
  line-height: 1.35; overflow-wrap: anywhere; } .pairs figcaption b { font-size: .82rem; }
.pairs .both { grid-column: 1 / -1; font-size: .78rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
details { margin-top: .75rem; } summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; padding: .9rem; background: var(--card); border: 1px solid var(--grid);
  border-radius: .6rem; font-size: .8rem; }
.note { margin-top: 2.75rem; padding: .9rem 1.1rem; border-left: 4px solid var(--accent); background: var(--card); }
.note p { max-width: none; margin: 0; } .note ul { margin: .3rem 0 0; padding-left: 1.2rem; }
@media (max-width: 520px) { body { padding: 1.25rem .8rem 3rem; } th, td { padding: .3rem .45rem; }
  .scores td { font-size: 1.05rem; } }
@media print { body { max-width: none; } .card, tr { break-inside: avoid; } }
"""
