// Copies what is served or drawn with from node_modules to static/vendor, so that nothing comes from a CDN.
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const from = new URL("node_modules/", import.meta.url);
const to = new URL("../static/vendor/", import.meta.url);

mkdirSync(to, { recursive: true });
for (const [source, target] of [
  ["htmx.org/dist/htmx.min.js", "htmx.min.js"],
  ["htmx.org/LICENSE", "htmx.LICENSE"],
  // for the figures that are drawn on the server; the pages use the fonts of the system
  ["dejavu-fonts-ttf/ttf/DejaVuSans.ttf", "DejaVuSans.ttf"],
  ["dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf", "DejaVuSans-Bold.ttf"],
  ["dejavu-fonts-ttf/LICENSE", "DejaVu.LICENSE"],
]) {
  copyFileSync(new URL(source, from), new URL(target, to));
}
console.log(`vendored files copied to ${fileURLToPath(to)}`);
