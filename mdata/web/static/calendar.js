/* One Tab stop for the calendar; the arrow keys go from day to day, as in a table. */
"use strict";

const days = [...document.querySelectorAll(".calendar a.day")];
const far = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7 };

/* If there is no room for a year, the newest weeks are visible first. */
days.at(-1)?.scrollIntoView({ block: "nearest", inline: "end" });
scrollTo(0, 0);

document.querySelector(".calendar")?.addEventListener("keydown", (event) => {
  const at = days.indexOf(document.activeElement);
  const to = event.key === "Home" ? 0 : event.key === "End" ? days.length - 1 : at + far[event.key];
  if (at < 0 || Number.isNaN(to) || !days[to]) return;
  event.preventDefault();
  days[at].tabIndex = -1;
  days[to].tabIndex = 0;
  days[to].focus();
});
