/* Datasette's column menu is made for the mouse; this opens it by the keyboard too. */
for (const icon of document.querySelectorAll("th .dropdown-menu-icon")) {
  icon.tabIndex = 0;
  icon.setAttribute("role", "button");
  icon.setAttribute("aria-label", `Menu of the column ${icon.closest("th").dataset.column}`);
  icon.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      icon.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      [...document.querySelectorAll(".dropdown-menu a")].find((link) => link.offsetParent).focus();
    }
  });
}
