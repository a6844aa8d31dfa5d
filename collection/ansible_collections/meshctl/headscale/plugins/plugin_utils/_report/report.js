// Copyright (c) 2026, the meshctl authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

"use strict";
// Adds a search field to the report: it filters the rows of all tables, and lists the pairs of a large report.
(() => {
  const main = document.querySelector("main");
  const rows = [...main.querySelectorAll("table.list tbody tr")];
  if (!rows.length) return;
  const known = document.getElementById("pairs");
  const data = known ? JSON.parse(known.textContent) : { names: [], pairs: [] };
  const box = document.createElement("form");
  box.className = "search";
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Search checks, nodes and pairs";
  field.setAttribute("aria-label", field.placeholder);
  const found = document.createElement("p");
  found.className = "soft";
  found.setAttribute("role", "status");
  const list = document.createElement("table");
  list.className = "list";
  box.append(field, found, list);
  main.prepend(box);
  box.addEventListener("submit", (event) => event.preventDefault());
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const opened = new Set();

  function pairs(words) {
    const matching = data.pairs.filter(([source, target, verdict, ms, path]) => {
      const text = `${data.names[source]} ${data.names[target]} ${verdict} ${path}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...matching.slice(0, 200).map(([source, target, verdict, ms, path]) => {
      const row = document.createElement("tr");
      row.className = `c-${verdict}`;
      for (const text of [verdict, `${data.names[source]} → ${data.names[target]}`, ms === null ? "" : `${ms} ms`, path]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }));
    return matching.length;
  }

  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    rows.forEach((row, index) => {
      const match = words.every((word) => texts[index].includes(word));
      row.hidden = !match;
      if (!match || !words.length) return;
      number += 1;
      const details = row.closest("details");
      if (details && !details.open) { details.open = true; opened.add(details); }
    });
    if (!words.length) {
      opened.forEach((details) => { details.open = false; });
      opened.clear();
      list.replaceChildren();
      found.textContent = "";
      return;
    }
    const count = data.pairs.length ? `${pairs(words)} pairs (the first 200 below), ` : "";
    found.textContent = `${count}${number} rows of the tables`;
  }

  let waiting = 0;
  field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
})();
