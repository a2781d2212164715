"use strict";
const rule = document.getElementById("rule");
const file = document.getElementById("file");
const shown = document.getElementById("shown");
const files = [...document.querySelectorAll(".file")];
const CLOSE = 2; // lines between two hunks
const rows = [...document.querySelectorAll("[data-code]")];

function filter() {
  let count = 0, total = 0;
  for (const section of files) {
    const here = !file.value || section.dataset.file === file.value;
    let any = here && !rule.value;
    const hunks = [...section.querySelectorAll(".hunk")];
    const fits = hunks.map((hunk) => here && (!rule.value || hunk.dataset.rules.split(" ").includes(rule.value)));
    hunks.forEach((hunk, at) => {
      // Where two hunks stand close, each is what the other has for surroundings.
      const beside =
        (fits[at - 1] && hunk.dataset.gap <= CLOSE) || (fits[at + 1] && hunks[at + 1].dataset.gap <= CLOSE);
      hunk.hidden = !fits[at] && !beside;
      hunk.classList.toggle("beside", !fits[at]);
    });
    any = any || fits.includes(true);
    count += fits.filter(Boolean).length;
    total += hunks.length;
    section.hidden = !any;
    section.classList.toggle("filtered", Boolean(rule.value));
  }
  for (const row of rows) {
    // A hazard that no rule fixed has the code of a family.
    const fits = !rule.value || rule.value.startsWith(row.dataset.code);
    row.hidden = !fits || Boolean(file.value && row.dataset.file !== file.value);
  }
  shown.textContent = `${count} of ${total} hunks`;
}

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest("[hidden], .filtered .fold")) {
    rule.value = file.value = "";
    filter();
  }
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView({ block: target.matches(".file, h2") ? "start" : "center" });
}

rule.addEventListener("change", filter);
file.addEventListener("change", filter);
document.getElementById("all").addEventListener("click", () => {
  rule.value = file.value = "";
  filter();
});
for (const button of document.querySelectorAll("button[data-rule]")) {
  button.addEventListener("click", () => {
    rule.value = button.dataset.rule;
    filter();
    document.getElementById("hunks").scrollIntoView();
  });
}
addEventListener("hashchange", reveal);
addEventListener("click", (event) => {
  // A second click on the same link changes no address.
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) reveal();
});
document.getElementById("filters").hidden = false;
filter();
reveal();
