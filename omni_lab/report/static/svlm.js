(() => {
  "use strict";
  const BLOCK = 20; // captions that are drawn, or taken off the page, together
  const HEIGHT = 150; // pixels of a caption that was never drawn, a guess
  const data = JSON.parse(document.getElementById("data").textContent);
  const [ID, TEXT, SPANS, REFERENCE, EXCESS, QUESTION] = [0, 1, 2, 3, 4, 5];
  const captions = data.captions;
  const find = (id) => document.getElementById(id);
  const made = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // colour and rank are of the excess loss, or of the reference's loss where there is no trainee
  const shown = (caption) => (data.trainee ? caption[EXCESS] : caption[REFERENCE]);
  const first = [0]; // number of every caption's first word among all words
  for (const caption of captions) first.push(first.at(-1) + caption[REFERENCE].length);
  const scores = new Float64Array(first.at(-1));
  captions.forEach((caption, at) =>
    shown(caption).forEach((value, place) => { scores[first[at] + place] = value ?? NaN; }));

  // place of every word in the order of keeping; of equal words the one that comes first is kept
  const rankBy = (sign) => {
    const known = [...scores.keys()].filter((word) => !Number.isNaN(scores[word]));
    known.sort((one, other) => sign * (scores[other] - scores[one]));
    const rank = new Int32Array(scores.length).fill(-1); // a word without a loss is never dropped
    known.forEach((word, place) => { rank[word] = place; });
    return { rank, known };
  };
  const ranked = { 1: null, "-1": null };
  let rank, known, keep;
  const isDropped = (word) => rank[word] >= keep;

  const summaries = captions.map((caption) => {
    const values = shown(caption).filter((value) => value !== null);
    const sum = values.reduce((total, value) => total + value, 0);
    return {
      max: values.reduce((most, value) => Math.max(most, value), -Infinity),
      mean: values.length ? sum / values.length : -Infinity,
      haystack: `${caption[TEXT]}\n${caption[ID]}`.toLocaleLowerCase(),
    };
  });
  const dropped = (at) => {
    let count = 0;
    for (let word = first[at]; word < first[at + 1]; word++) count += isDropped(word);
    return count;
  };

  const number = (value) => (value === null ? "–" : value.toFixed(2).replace("-", "−"));
  const count = (value) => value.toLocaleString("en");
  const tint = (value) => {
    if (value === null) return "";
    const strength = Math.min(1, Math.abs(value) / data.scale);
    const colour = value < 0 ? data.low : data.high;
    return `rgba(${colour.join(", ")}, ${(0.55 * strength).toFixed(3)})`;
  };
  const told = (caption, place) => {
    const reference = caption[REFERENCE][place];
    if (!data.trainee) return `reference ${number(reference)} nats`;
    const excess = caption[EXCESS][place];
    const trainee = reference === null || excess === null ? null : reference + excess;
    return `reference ${number(reference)}, trainee ${number(trainee)}, excess ${number(excess)} nats`;
  };

  const wordOf = (caption, at, place) => {
    const value = shown(caption)[place];
    const out = isDropped(first[at] + place);
    const word = made(out ? "s" : "span", "word");
    word.textContent = caption[TEXT].slice(caption[SPANS][2 * place], caption[SPANS][2 * place + 1]);
    word.style.backgroundColor = tint(value);
    if (value === null) word.classList.add("unknown");
    else if (Math.abs(value) >= data.scale) word.classList.add("striking");
    word.title = told(caption, place) + (out ? "; dropped" : "");
    return word;
  };
  const textOf = (caption, at) => {
    const text = made("p", "text");
    text.dir = "auto";
    let end = 0;
    for (let place = 0; place < caption[REFERENCE].length; place++) {
      text.append(caption[TEXT].slice(end, caption[SPANS][2 * place]), wordOf(caption, at, place));
      end = caption[SPANS][2 * place + 1];
    }
    text.append(caption[TEXT].slice(end));
    return text;
  };
  const numbersOf = (caption) => {
    const details = made("details");
    details.append(made("summary", "", "every word's loss"));
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector("table")) return;
      const table = made("table");
      for (let place = 0; place < caption[REFERENCE].length; place++) {
        const row = table.insertRow();
        const [start, stop] = caption[SPANS].slice(2 * place, 2 * place + 2);
        const cell = row.insertCell();
        cell.dir = "auto";
        cell.textContent = caption[TEXT].slice(start, stop);
        row.insertCell().textContent = told(caption, place);
      }
      details.append(table);
    });
    return details;
  };
  const cardOf = (at) => {
    const caption = captions[at];
    const picture = data.pictures[at];
    const card = made("article", picture ? "caption" : "caption blind");
    if (picture) {
      const image = made("img");
      image.src = `data:image/jpeg;base64,${picture}`;
      image.alt = `picture of ${caption[ID]}`;
      card.append(image);
    }
    const side = made("div");
    if (caption[QUESTION]) {
      const question = made("p", "about", caption[QUESTION]);
      question.dir = "auto";
      side.append(question);
    }
    const about = made("p", "about");
    const name = made("bdi", "", caption[ID]);
    const { max, mean } = summaries[at];
    const values = Number.isFinite(max) ? `largest ${number(max)}, mean ${number(mean)}` : "no loss";
    about.append(name, ` · ${values} · ${count(dropped(at))} of ${count(caption[REFERENCE].length)} words dropped`);
    side.append(textOf(caption, at), about, numbersOf(caption));
    card.append(side);
    return card;
  };

  // only blocks near the window are on the page; the others keep their height
  const list = find("list");
  const fill = (block) => {
    const open = [...block.children].map((card) => card.querySelector("details").open);
    block.replaceChildren(...block.members.map(cardOf));
    open.forEach((was, at) => { block.children[at].querySelector("details").open = was; });
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { target: block, isIntersecting } of entries) {
      if (isIntersecting && !block.firstChild) {
        fill(block);
        block.style.minHeight = "";
      } else if (!isIntersecting && block.firstChild) {
        block.style.minHeight = `${block.offsetHeight}px`;
        block.replaceChildren();
      }
    }
  }, { rootMargin: "1200px 0px" });

  const SORTS = {
    max: (one, other) => summaries[other].max - summaries[one].max || one - other,
    mean: (one, other) => summaries[other].mean - summaries[one].mean || one - other,
    id: (one, other) => (captions[one][ID] < captions[other][ID] ? -1 : 1),
    data: (one, other) => one - other,
  };
  const FILTERS = {
    all: () => true,
    dropped: (at) => dropped(at) > 0,
    whole: (at) => dropped(at) === 0,
    picture: (at) => Boolean(data.pictures[at]),
  };
  const arrange = () => {
    const wanted = find("search").value.trim().toLocaleLowerCase();
    const passes = FILTERS[find("filter").value];
    const order = [...captions.keys()]
      .filter((at) => summaries[at].haystack.includes(wanted) && passes(at))
      .sort(SORTS[find("sort").value]);
    observer.disconnect();
    const blocks = [];
    for (let begin = 0; begin < order.length; begin += BLOCK) {
      const block = made("div");
      block.members = order.slice(begin, begin + BLOCK);
      block.style.minHeight = `${HEIGHT * block.members.length}px`;
      blocks.push(block);
    }
    list.replaceChildren(...blocks);
    for (const block of blocks) observer.observe(block);
    find("found").textContent = `${count(order.length)} of ${count(captions.length)} captions`;
  };

  const select = () => {
    // without a trainee the words that the reference finds likely are kept
    const sign = find("side").value === "high" ? 1 : -1;
    ({ rank, known } = ranked[sign] ??= rankBy(sign));
    const ratio = Number(find("keep").value) / 100;
    keep = Math.floor(ratio * known.length + 0.5);
    const last = number(keep > 0 ? scores[known[keep - 1]] : null);
    find("ratio").textContent = `${find("keep").value} %`;
    const bound = `${sign > 0 ? "at least" : "at most"} ${last} nats`;
    find("selected").textContent =
      `${count(known.length - keep)} of ${count(known.length)} words dropped (kept: ${bound})`;
  };
  const redraw = () => { for (const block of list.children) if (block.firstChild) fill(block); };

  // one drawing a frame, of all that changed since the last
  let due = 0, moved = false, sorted = true;
  const draw = () => {
    if (moved) select();
    if (!sorted || (moved && ["dropped", "whole"].includes(find("filter").value))) arrange();
    else if (moved) redraw();
    [moved, sorted] = [false, true];
  };
  const later = () => { cancelAnimationFrame(due); due = requestAnimationFrame(draw); };
  for (const id of ["keep", "side"])
    find(id).addEventListener("input", () => { moved = true; later(); });
  for (const id of ["search", "sort", "filter"])
    find(id).addEventListener("input", () => { sorted = false; later(); });
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  select();
  arrange();
})();
