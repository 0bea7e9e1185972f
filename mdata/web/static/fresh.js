/* Reloads the page's content every half minute, while it is visible and nothing in it has the focus or is selected. */
"use strict";

const INTERVAL = 30000;

async function refresh() {
  const part = document.getElementById("fresh");
  const isBusy = document.hidden || part.contains(document.activeElement) || String(getSelection());
  if (!isBusy) {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("fresh");
    if (found && !part.contains(document.activeElement)) part.replaceWith(found);
  }
}

function next() {
  setTimeout(() => refresh().catch(() => {}).finally(next), INTERVAL);
}
next();
