"""When a page with a chart is ready."""

READY = "typeof held !== 'undefined' && held !== null && !box.hasAttribute('aria-busy')"
