// Follows the exporter: fetches the page again and takes over what has changed, element by element, so that focus,
// selection, what was opened and what is searched for stay. Without it the page is complete, and still.
"use strict";

const EVERY = 2000; // milliseconds between two looks while the page is seen
const EVERY_STEP = 500; // the same while a run is open
const SLOWEST = 30000; // at most, when the exporter does not answer
const PATIENCE = 10000; // for one answer
const SHARE = 8; // of the time at most one part in so many is spent on taking over changes

const one = (id) => document.getElementById(id);
const list = one("cards");
const query = one("query");
const sort = one("sort");
const only = one("only");

// --- taking over ------------------------------------------------------------------------------------

const opened = new WeakSet(); // details whose state a person has chosen

function takeOver(now, next) {
  if (now.isEqualNode(next)) return;
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  if (now !== document.body) takeOverAttributes(now, next);
  if (now.id === "tools" || now.id === "live-state") return; // ours
  takeOverChildren(now, next);
}

function takeOverAttributes(now, next) {
  const ours = (name) => name === "hidden" || name === "data-copied" || (name === "open" && opened.has(now));
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && !ours(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value && !ours(name)) now.setAttribute(name, value);
  }
}

// Children with an id are the same by it. Others are by their place: of what stood there before, the next of its kind.
function takeOverChildren(now, next) {
  const named = new Map();
  for (const child of now.children) if (child.id) named.set(child.id, child);
  const gone = [];
  let at = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const same = wanted.id ? named.get(wanted.id) : nextOfItsKind(at, wanted);
    if (!same) {
      now.insertBefore(wanted, at);
      continue;
    }
    if (wanted.id) {
      named.delete(wanted.id);
      if (same === at) at = at.nextSibling;
      else if (now !== list) now.insertBefore(same, at); // cards are put in order by `arrange`
    } else {
      for (; at !== same; at = at.nextSibling) if (!at.id) gone.push(at);
      at = same.nextSibling;
    }
    takeOver(same, wanted);
  }
  for (; at; at = at.nextSibling) if (!at.id) gone.push(at);
  for (const child of [...gone, ...named.values()]) child.remove();
}

function nextOfItsKind(at, wanted) {
  const alike = (node) =>
    node.nodeName === wanted.nodeName && node.classList?.[0] === wanted.classList?.[0] && !node.id;
  let node = at;
  while (node && (node.id || (wanted.nodeType === Node.ELEMENT_NODE && !alike(node)))) node = node.nextSibling;
  return node && alike(node) ? node : null;
}

// --- search, order, filter --------------------------------------------------------------------------

const ORDERS = {
  urgency: () => 0, // as the exporter has it
  due: (a, b) => a.dataset.due.localeCompare(b.dataset.due) || a.dataset.name.localeCompare(b.dataset.name),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
};
let urgency = [...list.children].map((card) => card.id);

function arrange() {
  const place = new Map(urgency.map((id, index) => [id, index]));
  const cards = [...list.children].sort((a, b) => place.get(a.id) - place.get(b.id)).sort(ORDERS[sort.value]);
  const held = inHand(cards);
  let after = null;
  for (const card of [...cards].reverse()) {
    if (card !== held && card.nextElementSibling !== after) list.insertBefore(card, after);
    after = card;
  }
  filter(cards);
}

// The card that a person has something selected or focused in: what is moved loses both, so others move around it.
function inHand(cards) {
  const selection = getSelection();
  const selected = selection.isCollapsed ? undefined : cards.find((card) => card.contains(selection.anchorNode));
  return selected ?? cards.find((card) => card.contains(document.activeElement));
}

function filter(cards) {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const card of cards) {
    const fits = (!only.checked || "problem" in card.dataset) && words.every((word) => card.dataset.search.includes(word));
    card.hidden = !fits;
    shown += fits;
  }
  const all = cards.length;
  one("found").textContent = shown === all ? `${all} shown` : `${shown} of ${all} shown`;
}

function remember() {
  const chosen = new URLSearchParams();
  if (query.value) chosen.set("q", query.value);
  if (sort.value !== "urgency") chosen.set("sort", sort.value);
  if (only.checked) chosen.set("only", "problems");
  const text = chosen.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  arrange();
}

function recall() {
  const chosen = new URLSearchParams(location.search);
  query.value = chosen.get("q") ?? "";
  sort.value = Object.hasOwn(ORDERS, chosen.get("sort")) ? chosen.get("sort") : "urgency";
  only.checked = chosen.get("only") === "problems";
}

// --- copying ----------------------------------------------------------------------------------------

function offerCopies() {
  for (const button of document.querySelectorAll("button.copy[hidden]")) button.hidden = false;
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 2000);
  } catch {
    // Not over HTTPS, or not allowed: it is selected, and can be copied by hand.
  }
}

// --- following --------------------------------------------------------------------------------------

let etag = "";
let failures = 0;
let lastContact = new Date();
let timer = 0;

async function look() {
  clearTimeout(timer);
  const started = performance.now();
  let working = 0;
  try {
    const answer = await fetch(location.pathname, {
      headers: etag ? { "If-None-Match": etag } : {},
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(`${answer.status}`);
      const text = await answer.text();
      const began = performance.now();
      show(new DOMParser().parseFromString(text, "text/html"));
      working = performance.now() - began;
      etag = answer.headers.get("ETag") ?? "";
    }
    failures = 0;
    lastContact = new Date();
    sayLive();
  } catch {
    failures += 1;
    if (failures > 1) say("lost", `Lost contact with the exporter since ${lastContact.toLocaleTimeString()}`);
  }
  const every = document.querySelector(".run") ? EVERY_STEP : EVERY;
  const wait = failures ? Math.min(SLOWEST, EVERY * 2 ** (failures - 1)) : Math.max(every, working * SHARE);
  if (document.visibilityState === "visible") timer = setTimeout(look, Math.max(0, wait - (performance.now() - started)));
}

function show(next) {
  if (!next.getElementById("cards")) throw new Error("that is another page");
  if (script(next) !== script(document)) location.reload(); // another version of the exporter
  urgency = [...next.getElementById("cards").children].map((card) => card.id);
  document.title = next.title;
  takeOver(document.body, next.body);
  offerCopies();
  arrange();
}

function script(page) {
  return page.querySelector("script").getAttribute("src");
}

// A page that is up to date is not live while the exporter itself cannot see.
function sayLive() {
  if (one("live").dataset.sees === "no") say("blind", "Updating, but the data is old");
  else say("live", "Live");
}

function say(state, text) {
  const where = one("live-state");
  if (where.textContent !== text) where.textContent = text;
  document.body.dataset.contact = state;
}

// --- the beginning ----------------------------------------------------------------------------------

recall();
one("tools").hidden = false;
offerCopies();
arrange();
sayLive();
query.addEventListener("input", remember);
sort.addEventListener("change", remember);
only.addEventListener("change", remember);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
  const summary = event.target.closest("summary");
  if (summary) opened.add(summary.parentElement);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    query.focus();
  } else if (event.key === "Escape" && event.target === query && query.value) {
    query.value = "";
    remember();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") look();
});
timer = setTimeout(look, EVERY);
document.body.dataset.ready = "";
