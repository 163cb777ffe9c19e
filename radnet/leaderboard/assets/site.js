// The big table and its filters, and the choice of a matrix. Text from records is only ever set as text, never as HTML.
"use strict";

(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const lines = window.RADNET_LINES || [];
  const SHORT = { "better than ImageNet": "better", "worse than ImageNet": "worse", "no difference shown": "same", "not enough patients to tell": "few" };

  const SIGNS = { better: "▲", worse: "▼", same: "=", few: "?" };

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // An interval on its axis: a line, a bar from low to high, a mark at the value; zero is drawn where it lies inside.
  function bar(value, ends, axis) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "cell-bar");
    svg.setAttribute("viewBox", "0 0 100 10");
    svg.setAttribute("preserveAspectRatio", "none");
    const width = axis[1] - axis[0] || 1;
    const place = (number) => 2 + (96 * (Math.min(Math.max(number, axis[0]), axis[1]) - axis[0])) / width;
    const draw = (tag, className, attributes) => {
      const node = document.createElementNS(SVG, tag);
      node.setAttribute("class", className);
      for (const [name, number] of Object.entries(attributes)) node.setAttribute(name, number);
      svg.appendChild(node);
    };
    draw("line", "axis", { x1: 0, x2: 100, y1: 5, y2: 5 });
    if (axis[0] < 0 && axis[1] > 0) draw("line", "zero", { x1: place(0), x2: place(0), y1: 0, y2: 10 });
    const from = place(ends[0]);
    draw("rect", "interval", { x: from, width: Math.max(place(ends[1]) - from, 0.8), y: 3, height: 4 });
    draw("rect", "point", { x: place(value) - 0.8, width: 1.6, y: 0, height: 10 });
    return svg;
  }

  const percent = (fraction) => (100 * fraction).toLocaleString("en", { maximumFractionDigits: 3 }) + " %";
  const settingOf = (line) => line.protocol + ", " + percent(line.fraction) + (line.condition === "none" ? "" : ", " + line.condition);
  const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(3);

  const formatters = {
    model(cell) {
      const line = cell.getData();
      const box = element("div");
      const link = element("a", "", line.model);
      link.href = "cells/" + line.cells[0][1] + ".html";
      box.appendChild(link);
      const about = element("span", "cell-sub");
      about.append(element("span", "badge " + line.arm, line.arm), " " + line.arch + (line.pre ? " · " + line.pre : "") + (line.syn ? " · synthetic" : ""));
      box.appendChild(about);
      box.appendChild(element("span", "cell-sub narrow", line.task + ", " + settingOf(line)));
      if (line.seen) box.appendChild(element("span", "cell-sub alarm", line.seen));
      if (line.cells.length > 1) {
        const seeds = element("span", "cell-sub", "seeds ");
        for (const [seed, hash] of line.cells) {
          const one = element("a", "", String(seed));
          one.href = "cells/" + hash + ".html";
          seeds.append(one, " ");
        }
        box.appendChild(seeds);
      }
      return box;
    },
    setting(cell) {
      const line = cell.getData();
      const box = element("div", "", line.task);
      box.appendChild(element("span", "cell-sub", settingOf(line)));
      return box;
    },
    rank(cell) {
      const line = cell.getData();
      if (line.rank === undefined) return "–";
      const box = element("div", "", String(line.rank));
      if (line.ranks) {
        const range = line.ranks[0] === line.ranks[1] ? "always " + line.ranks[0] : line.ranks[0] + "–" + line.ranks[1];
        box.appendChild(element("span", "cell-sub", (line.paired ? "" : "≈ ") + range + ", first " + Math.round(100 * line.first) + " %"));
      }
      return box;
    },
    score(cell) {
      const line = cell.getData();
      if (line.score === undefined) {
        const missing = element("span", "cell-sub", "unavailable (its page says why)");
        missing.title = line.why;
        return missing;
      }
      const box = element("div", "", line.score.toFixed(3));
      box.append(" ", element("span", "ends", "[" + line.ends[0].toFixed(3) + ", " + line.ends[1].toFixed(3) + "]"));
      box.appendChild(bar(line.score, line.ends, line.axis));
      box.appendChild(element("span", "cell-sub", line.metric.replaceAll("_", " ")));
      return box;
    },
    difference(cell) {
      const line = cell.getData();
      if (line.diff === undefined) return line.arm === "imagenet" && line.score !== undefined ? element("span", "cell-sub", "reference") : "–";
      const box = element("div", "", signed(line.diff));
      box.append(" ", element("span", "ends", "[" + signed(line.dends[0]) + ", " + signed(line.dends[1]) + "]"));
      box.appendChild(bar(line.diff, line.dends, [-reach, reach]));
      box.appendChild(element("span", "cell-sub", "to " + line.ref));
      return box;
    },
    p(cell) {
      const line = cell.getData();
      if (line.p === undefined) return "–";
      const box = element("div", "", (line.tested ? "" : "≈ ") + (line.p < 0.001 ? "< 0.001" : line.p.toFixed(3)));
      box.appendChild(element("span", "cell-sub", "of " + line.family));
      return box;
    },
    verdict(cell) {
      const line = cell.getData();
      return line.verdict === undefined ? "–" : element("span", "verdict " + SHORT[line.verdict], SIGNS[SHORT[line.verdict]] + " " + line.verdict);
    },
  };

  // Differences share one axis; a few huge ones must not flatten all others, so it ends at their 95th percentile.
  const sizes = lines.filter((line) => line.diff !== undefined).map((line) => Math.max(Math.abs(line.dends[0]), Math.abs(line.dends[1]))).sort((a, b) => a - b);
  const reach = sizes.length ? sizes[Math.floor(0.95 * (sizes.length - 1))] || 1 : 1;

  // Missing numbers stand last whichever way a column is sorted.
  function numbersFirst(a, b, rowA, rowB, column, direction) {
    const [lacksA, lacksB] = [typeof a !== "number", typeof b !== "number"];
    if (lacksA && lacksB) return 0;
    if (lacksA || lacksB) return (lacksA ? 1 : -1) * (direction === "desc" ? -1 : 1); // the two come swapped then
    return a - b;
  }

  function build() {
    const holder = document.getElementById("grid");
    if (!holder || !window.Tabulator) return;
    const number = { sorter: numbersFirst, headerSortStartingDir: "desc" };
    const grid = new Tabulator(holder, {
      data: lines,
      height: Math.min(Math.max(240, 120 + 64 * lines.length), Math.round(window.innerHeight * 0.8)) + "px",
      layout: "fitColumns",
      responsiveLayout: "collapse",
      responsiveLayoutCollapseStartOpen: false,
      columnDefaults: { vertAlign: "top", resizable: false },
      placeholder: "No row fits these filters",
      columns: [
        { formatter: "responsiveCollapse", width: 34, minWidth: 34, headerSort: false, hozAlign: "center", responsive: 0 },
        { title: "Model", field: "model", formatter: formatters.model, minWidth: 170, widthGrow: 3, responsive: 0 },
        { title: "Task", field: "task", formatter: formatters.setting, minWidth: 130, widthGrow: 2, responsive: 3 },
        { title: "Rank", field: "rank", formatter: formatters.rank, minWidth: 110, ...number, headerSortStartingDir: "asc", responsive: 4 },
        { title: "Score", field: "score", formatter: formatters.score, minWidth: 150, widthGrow: 2, ...number, responsive: 0 },
        { title: "Difference to ImageNet", field: "diff", formatter: formatters.difference, minWidth: 200, widthGrow: 2, ...number, responsive: 2 },
        { title: "Holm p", field: "p", formatter: formatters.p, minWidth: 80, ...number, headerSortStartingDir: "asc", responsive: 5 },
        { title: "Finding", field: "verdict", formatter: formatters.verdict, minWidth: 140, responsive: 6 },
        { title: "Train items", field: "items", minWidth: 75, sorter: "number", responsive: 8, formatter: "plaintext" },
        { title: "Test patients", field: "patients", minWidth: 90, sorter: "number", responsive: 7, formatter: "plaintext" },
      ],
    });
    wire(grid);
    window.RADNET_GRID = grid;
  }

  function wire(grid) {
    const selects = [...document.querySelectorAll("[data-filter]")];
    for (const select of selects) {
      const name = select.dataset.filter;
      const values = [...new Set(lines.map((line) => line[name]))];
      values.sort((a, b) => (typeof a === "number" ? b - a : String(a).localeCompare(String(b))));
      select.append(new Option("all", ""), ...values.map((value) => new Option(name === "fraction" ? percent(value) : value, String(value))));
      select.closest("label").hidden = values.length < 2 && name === "condition";
    }
    const search = document.getElementById("search");
    const shown = document.getElementById("shown");
    function apply() {
      const wanted = selects.filter((select) => select.value !== "").map((select) => [select.dataset.filter, select.value]);
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (!wanted.length && !words.length) grid.clearFilter();
      else
        grid.setFilter((line) => {
          if (wanted.some(([name, value]) => String(line[name]) !== value)) return false;
          const text = [line.model, line.arm, line.arch, line.pre, line.task, line.protocol, line.condition, line.verdict || ""].join(" ").toLowerCase();
          return words.every((word) => text.includes(word));
        });
    }
    let waiting = 0;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(apply, 150);
    });
    selects.forEach((select) => select.addEventListener("change", apply));
    document.getElementById("reset").addEventListener("click", () => {
      selects.forEach((select) => (select.value = ""));
      search.value = "";
      apply();
    });
    const count = (rows) => (shown.textContent = rows + " of " + lines.length + " rows");
    grid.on("dataFiltered", (filters, rows) => count(rows.length));
    count(lines.length);
  }

  const picker = document.getElementById("matrix-picker");
  if (picker) {
    picker.addEventListener("change", () => {
      document.querySelectorAll(".matrix").forEach((matrix) => (matrix.hidden = matrix.id !== picker.value));
    });
  }
  build();
})();
