// Sorts tables and filters the board. The rows are in the HTML; nothing here makes any.
"use strict";
(() => {
  // A click on a head sorts by its column: numbers from the greatest, texts from A; a second click turns it round.
  // Rows without a value are last either way.
  function sort(table, head) {
    const column = [...head.parentNode.children].indexOf(head);
    const numbers = head.dataset.type === "number";
    const first = numbers ? "descending" : "ascending";
    const other = numbers ? "ascending" : "descending";
    const direction = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of head.parentNode.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.children[column].dataset.sort;
    const order = (a, b) => {
      const [one, two] = [value(a), value(b)];
      if (!one || !two) return Number(!one) - Number(!two);
      return sign * (numbers ? Number(one) - Number(two) : one.localeCompare(two, "en"));
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(order));
  }

  for (const table of document.querySelectorAll("table.scores, table.sortable")) {
    for (const head of table.tHead.rows[0].children) {
      if (!head.dataset.type) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  const form = document.getElementById("filters");
  if (!form) return;
  const rows = [...document.getElementById("scores").tBodies[0].rows];
  const protocols = { comparable: ["comparable"], test: ["comparable", "test"], other: ["comparable", "test", "other"] };

  function filter() {
    const { protocol, family, year, origin, run, name } = Object.fromEntries(new FormData(form));
    const text = name.trim().toLocaleLowerCase("en");
    const matches = (row) =>
      (!family || row.dataset.family === family) &&
      (!year || row.dataset.year === year) &&
      (!origin || row.dataset.origin === origin) &&
      (!run || row.dataset.run === run) &&
      row.children[0].dataset.sort.toLocaleLowerCase("en").includes(text);
    const found = rows.filter(matches);
    let shown = 0;
    for (const row of rows) row.hidden = true;
    for (const row of found) {
      // The user's own rows are shown whether they are comparable or not.
      row.hidden = row.dataset.origin !== "yours" && !protocols[protocol].includes(row.dataset.protocol);
      shown += row.hidden ? 0 : 1;
    }
    const left = found.length - shown;
    const more = left ? ` ${left} more ${left === 1 ? "matches but is" : "match but are"} not comparable.` : "";
    document.getElementById("shown").textContent = `${shown} of ${rows.length} rows.${protocol === "other" ? "" : more}`;
  }

  // A link to a row of the user's own shows it, whatever was filtered.
  for (const link of document.querySelectorAll(".yours a")) {
    link.addEventListener("click", () => {
      if (!document.querySelector(link.hash).hidden) return;
      form.reset();
      filter();
    });
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
