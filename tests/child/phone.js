/* SPDX-License-Identifier: MIT */
/* Put into a report's page before its own script: watches what is drawn, and at the end tries the
 * page as a phone's user would. What it finds is told to the page around it, as JSON. */
"use strict";
const drawn = new Map(); /* canvas: the rectangles of its labels */
const context = CanvasRenderingContext2D.prototype;
const clearRect = context.clearRect, fillText = context.fillText;
context.clearRect = function (...box) { drawn.set(this.canvas, []); clearRect.apply(this, box); };
context.fillText = function (text, x, y) {
  const size = this.measureText(text), shift = {center: 0.5, right: 1}[this.textAlign] || 0;
  const low = x - size.width * shift;
  drawn.get(this.canvas).push({text, low, high: low + size.width, bottom: y,
    top: y - size.actualBoundingBoxAscent});
  fillText.call(this, text, x, y);
};
Element.prototype.setPointerCapture = () => {};

function overlaps(list, limit) {
  const found = [];
  list.forEach((a, i) => {
    if (a.low < 0 || a.high > limit || a.top < 0) found.push(a.text);
    for (const b of list.slice(0, i))
      if (a.low < b.high && b.low < a.high && a.top < b.bottom && b.top < a.bottom)
        found.push(a.text + " over " + b.text);
  });
  return found;
}
function touch(type, id, part) {
  const map = document.getElementById("map"), box = map.getBoundingClientRect();
  const x = box.left + left + (box.width - left) * part;
  map.dispatchEvent(new PointerEvent(type, {pointerId: id, pointerType: "touch", bubbles: true,
    clientX: x, clientY: box.top + 100}));
}

addEventListener("load", () => {
  const found = {width: innerWidth, pageWidth: document.documentElement.scrollWidth, overlaps: [], labels: 0};
  for (const [canvas, list] of drawn) {
    if (!canvas.isConnected) continue;
    found.labels += list.length;
    found.overlaps.push(...overlaps(list, canvas.clientWidth));
  }
  const sites = [...document.querySelectorAll("td code")];
  found.siteWidth = Math.min(...sites.map(site => site.closest("td").clientWidth));
  const map = document.getElementById("map");
  found.wheelScrolls = map.dispatchEvent(new WheelEvent("wheel", {deltaY: 100, cancelable: true}));
  found.fingerScrolls = /pan-y|auto|manipulation/.test(getComputedStyle(map).touchAction);
  view = whole();
  touch("pointerdown", 1, 0.4); touch("pointerdown", 2, 0.6);
  touch("pointermove", 1, 0.3); touch("pointermove", 2, 0.7);
  found.zoom = (view.x1 - view.x0) / data.events;
  parent.postMessage(JSON.stringify(found), "*");
});
