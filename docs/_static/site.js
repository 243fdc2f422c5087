// What the theme leaves out for screen readers and keyboards.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.setAttribute("aria-level", "2");
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");
  // A box that scrolls can be reached with the keyboard; one that does not is no stop for the Tab key.
  const boxes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll("pre, .table-wrapper, article table.docutils")) boxes.observe(box);
});

// The page of messages: paste what the log says, and see the entries that fit. The theme's search wants every word on
// a page, and a message in a log has words of its own: names, paths, numbers.
document.addEventListener("DOMContentLoaded", () => {
  const page = document.querySelector("section#messages");
  if (!page) return;
  const words = (text) => new Set(text.toLowerCase().match(/[\p{L}\d_]{2,}/gu));
  const entries = [...page.querySelectorAll("section > ul > li")].map((entry) => {
    const text = entry.querySelector("code").textContent;
    return { entry, kind: entry.closest("section").id,
      words: words(text.replace(/<[\w.]*>/g, " ")) };
  }).filter((one) => one.words?.size > 2);
  const kinds = [...page.querySelectorAll("section > h2")].map((title) => title.firstChild.textContent);
  const linked = (kind) => Object.assign(document.createElement("a"),
    { href: `#${kind.toLowerCase()}`, textContent: kind });
  const occurs = new Map();
  for (const one of entries) for (const word of one.words) occurs.set(word, (occurs.get(word) ?? 0) + 1);
  const weight = (word) => Math.log(1 + entries.length / occurs.get(word));
  const form = document.createElement("div");
  form.className = "find-message";
  form.innerHTML = '<label for="message">Paste a message from the log</label><textarea id="message" rows="3"></textarea>'
    + '<p role="status"></p><ul></ul>';
  page.querySelector("p").after(form);
  const [field, status, list] = ["textarea", "[role=status]", "ul"].map((name) => form.querySelector(name));
  field.addEventListener("input", () => {
    const pasted = words(field.value) ?? new Set();
    const named = kinds.filter((kind) => pasted.has(kind.toLowerCase()));
    const found = entries.map((one) => {
      let score = 0, all = 0;
      for (const word of one.words) {
        all += weight(word);
        if (pasted.has(word)) score += weight(word);
      }
      if (named.some((kind) => kind.toLowerCase() === one.kind)) score += 1;
      return { ...one, score: 2 * score - all, part: score / all };
    }).filter((one) => one.part > 0.6).sort((a, b) => b.score - a.score).slice(0, 5);
    list.replaceChildren(...found.map((one) => {
      const copy = one.entry.cloneNode(true);
      copy.querySelector("p").append(" ", linked(kinds.find((kind) => kind.toLowerCase() === one.kind)));
      return copy;
    }));
    status.textContent = !field.value.trim() ? "" : found.length
      ? "These messages fit best:" : "No message fits. Look at its class of error below.";
    if (named.length) status.append(" Its class of error is ", linked(named[0]), ".");
  });
});
