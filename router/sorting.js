"use strict";
// Tables of the class "sorts" are sorted by the column whose head is clicked. Nothing else needs a script.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const counts = head.classList.contains("number");
    const key = (row) => {
      const text = row.cells[at].textContent.trim();
      if (!counts) return text;
      const number = parseFloat(text.replace(/[^0-9.eE+-]/g, ""));
      return Number.isNaN(number) ? -Infinity : number;
    };
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const rising = before ? before === "descending" : !counts;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => (counts ? (a > b) - (a < b) : a.localeCompare(b)) * (rising ? 1 : -1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
