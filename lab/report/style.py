"""The style sheet of reports: light and dark by the reader's preference, and light on paper."""

from typing import Final

SHEET: Final = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5b6670; --page: #ffffff; --card: #f6f7f9; --edge: #d8dde2;
  --good: #0f7038; --bad: #b3261e; --event: #8a5a00; --band: #c98a0022;
  --c0: #0b62a4; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; --c4: #8a6d00; --c5: #be123c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a2adb8; --page: #14171a; --card: #1d2226;
  --edge: #39424a; --good: #5fd08d; --bad: #ff8a80; --event: #f0b94a; --band: #f0b94a22;
  --c0: #6cb6f5; --c1: #ff9a66; --c2: #6fdc94; --c3: #cd9bff; --c4: #e3c64a; --c5: #ff85a1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 48px; max-width: 1180px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 32px 0 10px; } h3 { font-size: 14px; margin: 0 0 2px; }
p { margin: 6px 0; max-width: 75ch; } .soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.verdict { font-size: 17px; font-weight: 600; margin: 12px 0 0; max-width: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 14px; margin-top: 18px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); gap: 14px; }
section.card, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 12px 14px;
  margin: 0; min-width: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 0; text-align: left; font-weight: normal; vertical-align: top; }
td + td, th + th { text-align: right; padding-left: 12px; } thead th { color: var(--soft); }
.wide td + td { text-align: left; } .wide td:first-child { white-space: nowrap; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 10.5px system-ui, sans-serif; fill: var(--soft); } svg text.label { fill: var(--event); }
.grid { stroke: var(--edge); stroke-width: 1; } .band { fill: var(--band); }
.event { stroke: var(--event); stroke-width: 1.2; stroke-dasharray: 3 3; }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .dashed { stroke-dasharray: 5 3; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
circle { fill: none; stroke-width: 1.8; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12.5px; color: var(--soft); }
.legend svg { display: inline-block; width: 20px; height: 8px; margin-right: 5px; vertical-align: middle; }
figcaption { font-size: 12.5px; color: var(--soft); }
pre { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 12px 14px; overflow-x: auto;
  font-size: 12.5px; line-height: 1.4; }
@media print { :root { --ink: #000; --soft: #444; --page: #fff; --card: #fff; --edge: #bbb; --good: #0f7038; --bad: #b3261e;
  --event: #7a5000; --band: #c98a0022; --c0: #0b62a4; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; --c4: #8a6d00;
  --c5: #be123c; } body { padding: 0; font-size: 11px; } figure, section.card { break-inside: avoid; }
  .charts { grid-template-columns: 1fr 1fr; } pre { white-space: pre-wrap; } }
"""
