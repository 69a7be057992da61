// Copies what the pages load from node_modules to static/vendor, so that nothing comes from a CDN.
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const from = new URL("node_modules/htmx.org/", import.meta.url);
const to = new URL("../static/vendor/", import.meta.url);

mkdirSync(to, { recursive: true });
for (const [source, target] of [
  ["dist/htmx.min.js", "htmx.min.js"],
  ["LICENSE", "htmx.LICENSE"],
]) {
  copyFileSync(new URL(source, from), new URL(target, to));
}
console.log(`htmx copied to ${fileURLToPath(to)}`);
