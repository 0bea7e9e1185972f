/* The page is read anew every half minute, while somebody looks at it and is not in the midst of something. */
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
