"use strict";
// Draws the charts whose descriptions stand in the page, and draws them again in the other
// colours when the reader's preference changes, or for paper.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const style = (isDark) => {
    const ink = isDark ? "#e8eaed" : "#1b1d21", line = isDark ? "#363b42" : "#d9dce1";
    return {
      background: null,
      font: "system-ui, sans-serif",
      axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
      legend: { labelColor: ink, titleColor: ink },
      view: { stroke: line },
    };
  };
  const draw = async (isDark) => {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
      await vegaEmbed(place, spec, {
        renderer: "svg",
        tooltip: { theme: isDark ? "dark" : "light" },
        config: style(isDark),
        downloadFileName: place.dataset.name,
        actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
        // An expression of a chart is data: it is interpreted, not compiled.
        ast: true,
      });
      const menu = place.querySelector("summary");
      if (menu) menu.setAttribute("aria-label", `Save the chart ${place.dataset.name}`);
    }
    document.body.dataset.drawn = String(document.querySelectorAll("[data-chart] svg").length);
  };
  dark.addEventListener("change", (event) => draw(event.matches));
  window.addEventListener("beforeprint", () => { if (dark.matches) draw(false); });
  window.addEventListener("afterprint", () => { if (dark.matches) draw(true); });
  draw(dark.matches);
})();
