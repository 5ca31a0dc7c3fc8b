"use strict";
document.documentElement.classList.add("js");

/* --- the figure and the dots of the charts, in step ------------------------------------------- */
const source = document.getElementById("data");
const player = document.querySelector(".player");
if (source && player) {
  const data = JSON.parse(source.textContent);
  const play = document.getElementById("play");
  const speed = document.getElementById("speed");
  const slider = document.getElementById("position");
  const percent = document.getElementById("percent");
  const limbs = [...player.querySelectorAll("[data-joints]")];
  const dots = [...document.querySelectorAll("[data-dot]")];
  const [left, right] = data.area;
  const shown = 3; /* seconds for a stride whose length is not known: no speed of the runner's */
  let share = 0, playing = false, before = 0;

  const between = (values, at, width, offset) => {
    const last = values.length / width - 1;
    const start = Math.min(Math.floor(at * last), last - 1), rest = at * last - start;
    const one = values[start * width + offset], other = values[(start + 1) * width + offset];
    return one + (other - one) * rest;
  };
  const place = joint => [0, 1].map(each => between(data.frames[joint], share, 2, each).toFixed(1));
  const draw = () => {
    for (const limb of limbs) {
      const places = limb.dataset.joints.split(" ").map(place);
      if (limb.tagName === "circle") {
        limb.setAttribute("cx", places[0][0]);
        limb.setAttribute("cy", places[0][1]);
      } else limb.setAttribute("points", places.map(each => each.join(",")).join(" "));
    }
    for (const dot of dots) {
      const [start, length] = data.spans[dot.dataset.dot.split(" ")[1]];
      const along = ((((share - start) % 1) + 1) % 1) / length;
      dot.toggleAttribute("hidden", along > 1);
      if (along > 1) continue;
      const x = left + (right - left) * along, y = between(data.dots[dot.dataset.dot], along, 1, 0);
      const round = dot.tagName === "circle";
      dot.setAttribute(round ? "cx" : "x", (round ? x : x - 3.5).toFixed(1));
      dot.setAttribute(round ? "cy" : "y", (round ? y : y - 3.5).toFixed(1));
    }
    const text = `${Math.round(100 * share)} %`;
    percent.value = text;
    slider.setAttribute("aria-valuetext", text);
  };
  const step = now => {
    if (!playing) return; /* the time of a frame may lie before the click that began to play */
    const seconds = speed ? data.seconds / Number(speed.value) : shown;
    share = (share + Math.max(0, now - before) / 1000 / seconds) % 1;
    before = now;
    slider.value = Math.round(100 * share);
    draw();
    requestAnimationFrame(step);
  };
  const run = on => {
    playing = on;
    play.textContent = on ? "Pause" : "Play";
    before = performance.now();
    if (on) requestAnimationFrame(step);
  };
  play.addEventListener("click", () => run(!playing));
  slider.addEventListener("input", () => {
    run(false);
    share = Number(slider.value) / 100;
    draw();
  });
  draw();
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

/* --- the table: sorting and search ------------------------------------------------------------ */
const table = document.getElementById("analyses");
if (table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const parts = row => [...row.querySelectorAll("bdi, small, td")].map(each => each.textContent);
  const texts = rows.map(row => plain(parts(row).join("\n")));
  const order = new Intl.Collator(undefined, { numeric: true });

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const numbers = head.classList.contains("n");
    const first = numbers ? "descending" : "ascending", second = numbers ? "ascending" : "descending";
    const next = head.getAttribute("aria-sort") === first ? second : first;
    heads.forEach(each => each.setAttribute("aria-sort", each === head ? next : "none"));
    const sign = next === "ascending" ? 1 : -1;
    const keyed = [...body.rows].map(row => {
      const text = row.cells[column].textContent;
      return [row, text === "–" ? null : numbers ? Number(text) : text];
    });
    keyed.sort(([, one], [, other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (numbers ? one - other : order.compare(one, other));
    });
    body.append(...keyed.map(([row]) => row));
  }));
  if (find) find.addEventListener("input", () => {
    const phrase = plain(find.value).trim().replace(/\s+/g, " ");
    const words = texts.some(text => text.includes(phrase)) ? [phrase] : phrase.split(" ");
    let count = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every(word => texts[place].includes(word));
      count += !row.hidden;
    });
    shown.value = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  });
}
