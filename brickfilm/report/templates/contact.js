"use strict";
const FIRST = 12; // the sections below stay in reach
const PAGE = 48;
const CARDS = JSON.parse(document.getElementById("cards").textContent);
const MEANINGS = JSON.parse(document.getElementById("meanings").textContent);
const form = document.querySelector(".tools");
const sheet = document.querySelector(".cards");
const [more, all] = document.querySelectorAll(".more button");
let kind = CARDS.clips.length ? "clips" : "images";
let matches = [];
let drawn = 0;

// Set all text as textContent: titles and captions are untrusted.
function el(tag, name, text, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  if (text !== undefined) node.dir = "auto"; // titles and captions may run from right to left
  node.append(...children);
  return node;
}

function link(address, name, ...children) {
  const node = el("a", name, undefined, ...children);
  node.href = address;
  node.target = "_blank";
  node.rel = "noopener";
  return node;
}

function picture(address, number, card) {
  if (!address) return el("span", "still empty", "still is missing");
  const image = el("img");
  image.loading = "lazy";
  image.alt = `still ${number + 1}`;
  image.src = address;
  return card.file ? link(card.file, "still", image) : el("span", "still", undefined, image);
}

function place(card) {
  const span = card.end && `${card.start.toFixed(2)}–${card.end.toFixed(2)} s`;
  return el("p", "place quiet", [span, card.length, card.size].filter(Boolean).join(" · "));
}

// Scores are drawn when they are opened: thirty of them are most of a card.
function scores(card) {
  const details = el("details", "facts", undefined, el("summary", "", "scores"));
  details.ontoggle = () => {
    details.ontoggle = null;
    const list = el("dl");
    for (const [name, value] of Object.entries(card.scores)) {
      const line = el("div", "", undefined, el("dt", "", name.replaceAll("_", " ")), el("dd", "", `${value}`));
      line.title = MEANINGS[name] || "";
      list.append(line);
    }
    details.append(list);
  };
  return details;
}

function similar(card) {
  const button = el("button", "pill similar", `${card.similar} near-duplicates`);
  button.type = "button";
  button.onclick = () => { form.words.value = card.group; filter(); };
  return button;
}

function playButton(card, stills) {
  const button = el("button", "play", "▶ Play");
  button.type = "button";
  button.setAttribute("aria-label", `play ${card.id}`);
  button.onclick = () => {
    const video = el("video");
    Object.assign(video, { src: card.file, controls: true, loop: true, muted: true, autoplay: true });
    video.setAttribute("aria-label", `clip ${card.id}`);
    video.onerror = () => stills.replaceChildren(el("span", "empty", "the file is not beside this page"));
    stills.replaceChildren(video);
    video.focus();
  };
  return button;
}

function drawCard(card) {
  const top = el("p", "pills", undefined, el("span", `pill ${card.outcome}`, card.split || card.outcome));
  if (card.status && card.status !== "described") top.append(el("span", "pill", card.status));
  if (card.similar > 1) top.append(similar(card));
  if (card.seconds) top.append(el("span", "seconds", `${card.seconds.toFixed(2)} s`));
  const stills = el("div", "stills", undefined, ...card.stills.map((s, n) => picture(s, n, card)));
  if (!card.stills.length) stills.append(el("span", "empty", "no stills"));
  if (card.file && kind === "clips") stills.append(playButton(card, stills));
  const title = card.url ? link(card.url, "title", card.title) : el("span", "title", card.title);
  if (card.source !== card.title) title.title = card.source;
  const words = el("div", "words");
  if (card.why) words.append(el("p", "caption quiet", card.why));
  if (card.caption) words.append(el("p", "caption", card.caption));
  if (!card.why && !card.caption) words.append(el("p", "caption empty", "no caption"));
  const model = card.model && el("span", "", `by ${card.model}`);
  const drawnCard = el("article", `card ${card.outcome} ${kind}`, undefined, stills, top, words, place(card),
    Object.keys(card.scores).length ? scores(card) : "",
    el("footer", "", undefined, title, model || "", el("code", "", card.id)));
  drawnCard.setAttribute("aria-label", card.id);
  return drawnCard;
}

function draw(count) {
  sheet.append(...matches.slice(drawn, drawn + count).map(drawCard));
  drawn = Math.min(matches.length, drawn + count);
  more.hidden = all.hidden = drawn === matches.length;
  more.textContent = `Show more (${(matches.length - drawn).toLocaleString("en")} left)`;
}

function fits(card, words) {
  return ["outcome", "status", "split"].every((n) => !form[n].value || card[n] === form[n].value)
    && (!form.similar.checked || card.similar > 1)
    && words.every((word) => card.text.includes(word));
}

const value = (card, by) => (by === "seconds" ? card.seconds : card.scores[by]) ?? -Infinity;

function filter() {
  const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const [by, way] = form.sort.value.split("/");
  matches = CARDS[kind].filter((card) => fits(card, words));
  if (by) matches.sort((a, b) => (value(a, by) - value(b, by)) * way || 0);
  form.querySelector(".matches").textContent =
    `${matches.length.toLocaleString("en")} of ${CARDS[kind].length.toLocaleString("en")}`;
  sheet.replaceChildren();
  drawn = 0;
  draw(FIRST);
  if (!matches.length) sheet.append(el("p", "empty", `No ${kind} match: change the words or the filters.`));
}

function choices(name, every) {
  const values = [...new Set(CARDS[kind].map((card) => card[name]))].filter(Boolean).sort();
  form[name].replaceChildren(new Option(every, ""), ...values.map((v) => new Option(v, v)));
  form[name].hidden = values.length < 2;
}

function orders() {
  const names = new Set(CARDS[kind].flatMap((card) => Object.keys(card.scores)));
  if (kind === "clips") names.add("seconds");
  form.sort.replaceChildren(new Option("in order of the videos", ""));
  for (const name of [...names].sort()) {
    form.sort.append(new Option(`${name}, low first`, `${name}/1`));
    form.sort.append(new Option(`${name}, high first`, `${name}/-1`));
  }
  form.sort.hidden = !names.size;
}

function show(chosen) {
  kind = chosen;
  for (const tab of form.querySelectorAll("[data-kind]")) {
    tab.setAttribute("aria-pressed", tab.dataset.kind === kind);
  }
  choices("outcome", "every outcome");
  choices("status", "every status");
  choices("split", "every split");
  orders();
  form.querySelector(".check").hidden = !CARDS[kind].some((card) => card.similar > 1);
  form.similar.checked = false;
  filter();
}

for (const card of [...CARDS.clips, ...CARDS.images]) {
  card.text = [card.id, card.title, card.source, card.caption, card.why, card.group, card.status]
    .join(" ").toLowerCase();
}
for (const tab of form.querySelectorAll("[data-kind]")) tab.onclick = () => show(tab.dataset.kind);
document.addEventListener("click", (event) => { // of sections below, too
  const named = event.target.closest("[data-clip]");
  if (!named) return;
  form.words.value = named.dataset.clip;
  show("clips");
  form.scrollIntoView();
});
form.oninput = filter;
more.onclick = () => draw(PAGE);
all.onclick = () => draw(matches.length);
show(kind);
