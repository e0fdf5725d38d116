"use strict";
// Sorting of tables: by the value that a cell carries; empty cells last; ties keep their order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const status = document.getElementById("status");
  const valueOf = (row, place) => {
    const raw = row.cells[place].dataset.value;
    if (raw === undefined) return null;
    const number = Number(raw);
    return Number.isNaN(number) ? raw : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      const numeric = [...body.rows].some((row) => typeof valueOf(row, place) === "number");
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [valueOf(a, place), valueOf(b, place)];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * compare(x, y);
      });
      for (const each of heads) each.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      body.append(...rows);
      status.textContent = `Sorted by ${head.textContent}, ${order}`;
    });
  });
}
