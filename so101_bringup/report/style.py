"""How the report's page looks: on a phone, on a screen, by day and by night."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f8fa; --card: #ffffff; --ink: #24292f; --soft: #57606a; --line: #d8dee4;
  --good: #12805c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --card: #161b22; --ink: #e6edf3; --soft: #8b949e; --line: #30363d;
    --good: #3fb98a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 78rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.3rem; }
p { margin: 0.3rem 0; }
small, figcaption { color: var(--soft); font-size: 0.85rem; line-height: 1.4; }
small { display: inline-block; }
.cards, .pictures { display: grid; gap: 1rem; margin: 1.2rem 0; }
.cards > *, .pictures > * { min-width: 0; }
@media (min-width: 38rem) { .cards { grid-template-columns: 1fr 1fr; } }
@media (min-width: 62rem) {
  .cards { grid-template-columns: 1fr 1fr 1fr 1fr; }
}
.pictures { grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.pictures .durations { grid-column: 1 / -1; }
.card, figure, .wide {
  background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem;
}
.card { padding: 0.9rem 1.1rem; }
.card h2 { margin: 0; font-size: 0.95rem; font-weight: 600; color: var(--soft); }
.card .value { margin: 0; font-size: 1.7rem; font-weight: 650; }
figure { margin: 0; padding: 0.8rem; }
img { display: block; width: 100%; height: auto; }
.durations picture { display: block; overflow-x: auto; }
.durations img { min-width: 36rem; }
figcaption { margin-top: 0.5rem; }
.wide { overflow-x: auto; margin-top: 0.6rem; }
table {
  border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums;
}
th, td { text-align: left; padding: 0.45rem 0.55rem; vertical-align: top; }
th { color: var(--soft); font-size: 0.8rem; font-weight: 600; vertical-align: bottom; }
td { border-top: 1px solid var(--line); white-space: nowrap; }
.what, .why { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
.why { min-width: 15rem; }
.promoted { color: var(--good); font-weight: 600; }
.rejected { color: var(--soft); }
"""
