for (const section of document.querySelectorAll("section.table")) {
  const body = section.querySelector("tbody");
  const headers = [...section.querySelectorAll("thead th")];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const rises = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", rises ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      // numbers, then words, then empty cells, whichever way it is sorted
      const kind = (x) => (x === "" ? 2 : isNaN(x) ? 1 : 0);
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (kind(x) !== kind(y)) return kind(x) - kind(y);
        if (x === y) return 0;
        return (rises ? 1 : -1) * (kind(x) === 0 ? x - y : x.localeCompare(y));
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
  const controls = section.querySelector(".controls");
  if (!controls) continue;
  const [find, choice, status] = ["input", "select", "[role=status]"].map((what) => controls.querySelector(what));
  const filter = () => {
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase().includes(find.value.toLowerCase());
      const chosen = !choice?.value || row.cells[choice.dataset.column].textContent === choice.value;
      row.hidden = !(text && chosen);
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = `${shown} of ${body.rows.length} shown`;
  };
  find.addEventListener("input", filter);
  choice?.addEventListener("change", filter);
  controls.hidden = false;
  filter();
}
