"use strict";
const controls = ["rule", "file", "safety", "kind", "text"].map((name) => document.getElementById(name));
const [rule, file, safety, kind, text] = controls;
const shown = document.getElementById("shown");
const files = [...document.querySelectorAll(".file")];
const rows = [...document.querySelectorAll("[data-code]")];
const CLOSE = 2; // lines between two hunks
const PAUSE = 150; // milliseconds after a key, before a search begins
const words = new Map(); // hunk -> its text, made when it is first searched
let at = ""; // the place that was last gone to

function wanted() {
  return controls.filter((control) => control.value.trim());
}

function holds(hunk, sought) {
  if (!words.has(hunk)) {
    const lines = [...hunk.querySelectorAll("header, .changed > .code, .come > .new, .gone > .old")];
    words.set(hunk, lines.map((line) => line.textContent).join("\n").toLowerCase());
  }
  return words.get(hunk).includes(sought);
}

function fits(hunk) {
  const sought = text.value.trim().toLowerCase();
  return (
    (!rule.value || hunk.dataset.rules.split(" ").some((code) => code.startsWith(rule.value))) &&
    (!safety.value || hunk.dataset.safety === safety.value) &&
    (!kind.value || hunk.dataset.kind.split(" ").includes(kind.value)) &&
    (!sought || holds(hunk, sought))
  );
}

function filter() {
  const some = wanted().some((control) => control !== file);
  let count = 0, total = 0;
  for (const section of files) {
    const here = !file.value || section.dataset.file === file.value;
    const hunks = [...section.querySelectorAll(".hunk")];
    const fit = hunks.map((hunk) => here && fits(hunk));
    hunks.forEach((hunk, index) => {
      // Where two hunks stand close, each is what the other has for surroundings.
      const beside =
        (fit[index - 1] && hunk.dataset.gap <= CLOSE) || (fit[index + 1] && hunks[index + 1].dataset.gap <= CLOSE);
      hunk.hidden = !fit[index] && !beside;
      hunk.classList.toggle("beside", !fit[index]);
    });
    count += fit.filter(Boolean).length;
    total += hunks.length;
    section.hidden = !here || (some && !fit.includes(true));
    section.classList.toggle("filtered", some);
  }
  for (const row of rows) {
    // A hazard that no rule fixed has the code of a family.
    const here = !rule.value || rule.value.startsWith(row.dataset.code) || row.dataset.code.startsWith(rule.value);
    row.hidden = !here || Boolean(file.value && row.dataset.file !== file.value);
  }
  shown.textContent = `${count} of ${total} hunks`;
}

// The address holds what is asked for, so that it can be kept and sent.
function write() {
  const told = new URLSearchParams(wanted().map((control) => [control.id, control.value.trim()]));
  if (at) told.set("at", at);
  const plain = [...told.keys()].join() === "at" ? at : told.toString();
  history.replaceState(null, "", plain ? `#${plain}` : location.pathname + location.search);
}

function set(control, value) {
  if (control.options && value && ![...control.options].some((option) => option.value === value)) {
    control.add(new Option(value, value)); // a family, or an address from another day
  }
  control.value = value;
}

function read() {
  const told = location.hash.slice(1);
  if (!told.includes("=")) {
    at = decodeURIComponent(told);
    return;
  }
  const asked = new URLSearchParams(told);
  for (const control of controls) set(control, asked.get(control.id) || "");
  at = asked.get("at") || "";
}

function clear() {
  for (const control of controls) control.value = "";
}

function reveal() {
  for (const old of document.querySelectorAll(".here")) old.classList.remove("here");
  const target = at && document.getElementById(at);
  if (!target) return;
  if (target.closest("[hidden], .filtered .fold")) {
    clear();
    filter();
  }
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (target.matches(".hunk, [data-n]")) target.classList.add("here");
  target.scrollIntoView({ block: target.matches(".file, h2") ? "start" : "center" });
}

function change() {
  at = "";
  filter();
  write();
}

function follow() {
  read();
  filter();
  reveal();
  write();
}

let timer = 0;
text.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(change, PAUSE);
});
for (const control of [rule, file, safety, kind]) control.addEventListener("change", change);
document.getElementById("all").addEventListener("click", () => {
  clear();
  change();
});
for (const button of document.querySelectorAll("button[data-rule]")) {
  button.addEventListener("click", () => {
    set(rule, button.dataset.rule);
    change();
    document.getElementById("hunks").scrollIntoView();
  });
}
addEventListener("hashchange", follow);
addEventListener("click", (event) => {
  // A link inside the page keeps the filters, and works a second time too.
  const link = event.target.closest('a[href^="#"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  at = decodeURIComponent(link.hash.slice(1));
  reveal();
  write();
});
document.getElementById("filters").hidden = false;
follow();
