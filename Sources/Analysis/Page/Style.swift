/// How the page looks and what its script does. Without the script it is complete.
enum Style {
    /// No colour says anything that words do not.
    static let sheet = """
        :root { color-scheme: light dark; --ink: #1a1a1a; --dim: #5a5a5a; --line: #c8c8c8; --paper: #fff;
          --band: #f4f4f4; --bad: #a4000f; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --dim: #a0a0a0; --line: #4a4a4a;
          --paper: #161616; --band: #212121; --bad: #ff8a80; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 84rem; background: var(--paper);
          color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
        h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
        h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
        p, ul { max-width: 46rem; }
        ul { padding-left: 1.2rem; }
        li { margin: .25rem 0; }
        .dim { color: var(--dim); font-size: .875rem; }
        .answer p { font-size: 1.1rem; margin: .7rem 0; overflow-wrap: anywhere; }
        .wide { overflow-x: auto; }
        table { border-collapse: collapse; font-size: .8125rem; line-height: 1.3; }
        th, td { padding: .3rem .45rem; text-align: right; vertical-align: top; white-space: nowrap;
          font-variant-numeric: tabular-nums; border-bottom: 1px solid var(--line); }
        th { font-weight: 600; }
        .text { text-align: left; }
        td.text { white-space: normal; min-width: 10rem; overflow-wrap: anywhere; }
        thead th { vertical-align: bottom; border-bottom: 2px solid var(--ink); }
        #cells tbody th { position: sticky; left: 0; background: var(--paper); font-weight: 400; }
        #cells tbody tr:hover > * { background: var(--band); }
        tr.first > * { border-top: 2px solid var(--line); }
        td small { display: block; color: var(--dim); font-size: .9em; }
        .unsafe { border: 1px solid currentColor; border-radius: .2rem; padding: 0 .2rem; font-size: .85em; }
        .bad { color: var(--bad); font-weight: 700; }
        th button { all: unset; cursor: pointer; }
        th button:focus-visible { outline: 2px solid; }
        th[aria-sort] button::after { content: " \\25B2"; }
        th[aria-sort=descending] button::after { content: " \\25BC"; }
        figure { margin: 1rem 0 2rem; max-width: 60rem; break-inside: avoid; }
        /* No pointer: the drawing's tooltips are commands of gnuplot. */
        figure svg { display: block; width: 100%; min-width: 44rem; height: auto; pointer-events: none; }
        dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem 1rem;
          max-width: 60rem; font-size: .875rem; line-height: 1.35; }
        dl > div:first-child { grid-column: 1 / -1; }
        dt { color: var(--dim); }
        dd { margin: 0; overflow-wrap: anywhere; }
        pre { background: var(--band); padding: .7rem; font-size: .75rem; line-height: 1.35; columns: 23rem;
          white-space: pre-wrap; overflow-wrap: anywhere; }
        @media (max-width: 40rem) { body { padding: 1rem .75rem 2rem; } }
        @page { size: A4; margin: 14mm; }
        @page table { size: A4 landscape; margin: 10mm; }
        @media print { :root { --ink: #000; --dim: #444; --line: #bbb; --paper: #fff; --band: #fff; --bad: #a4000f; }
          html { font-size: 10pt; } body { max-width: none; padding: 0; } figure svg { min-width: 0; } .table { page: table; } .wide { overflow: visible; }
          table { font-size: 6.6pt; } th, td { padding: .15rem .3rem; } thead { display: table-header-group; }
          td.text { min-width: 0; } tr { break-inside: avoid; } #cells tbody th { position: static; }
          pre { font-size: 6.6pt; columns: 2; padding: 0; } h2 { break-after: avoid; } }
        """

    /// Sorts the table by a column when its title is pressed; what is missing stays last. Written without the two
    /// characters that XML would want escaped.
    static let script = """
        "use strict";
        (function () {
          const table = document.getElementById("cells");
          const titles = Array.from(table.tHead.rows[0].cells);
          function key(row, column) {
            const cell = row.cells[column];
            if (cell.tagName === "TH" || cell.classList.contains("text")) { return cell.textContent; }
            return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
          }
          function compare(a, b) {
            if (typeof a === "string") { return a.localeCompare(b); }
            return a === b ? 0 : a > b ? 1 : -1;
          }
          function sort(column) {
            const sign = titles[column].getAttribute("aria-sort") === "ascending" ? -1 : 1;
            const rows = Array.from(table.tBodies[0].rows);
            const keys = new Map(rows.map(function (row) { return [row, key(row, column)]; }));
            rows.sort(function (a, b) {
              const x = keys.get(a), y = keys.get(b);
              if (x === null || y === null) { return x === y ? 0 : x === null ? 1 : -1; }
              return sign * compare(x, y);
            });
            rows.forEach(function (row) { row.classList.remove("first"); });
            table.tBodies[0].append.apply(table.tBodies[0], rows);
            titles.forEach(function (title) { title.removeAttribute("aria-sort"); });
            titles[column].setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
          }
          titles.forEach(function (title, column) {
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = title.textContent;
            button.addEventListener("click", function () { sort(column); });
            title.replaceChildren(button);
          });
        })();
        """

    /// The SHA-256 of `script` in Base64: the only script that the page lets a browser run.
    static let scriptHash = "/xiJ6sbYBm8pKYv68Z+d0I5NBjJo6uqTu10AZyF5A5Y="
}
