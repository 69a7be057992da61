// Prints one line of JSON for each page and device: the scores (0 to 100), what they rest on, and what costs points.
//   node measure.mjs http://127.0.0.1:8000 /r/mnist-cnn /r/mnist-cnn/test/0 …        CHROMIUM names the browser
import { launch } from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";

const FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];
const FIGURES = [
  "first-contentful-paint",
  "largest-contentful-paint",
  "total-blocking-time",
  "cumulative-layout-shift",
  "speed-index",
];

// Chromium sometimes loses the beginning of a trace.
const TRIES = 3;

const [base, ...pages] = process.argv.slice(2);
const browser = await launch({ chromePath: process.env.CHROMIUM, chromeFlags: FLAGS, logLevel: "error" });
try {
  for (const page of pages) {
    for (const [device, config] of [
      ["mobile", undefined],
      ["desktop", desktopConfig],
    ]) {
      const lhr = await measured(page, config);
      const categories = Object.values(lhr.categories);
      const scores = Object.fromEntries(categories.map(({ id, score }) => [id, Math.round(score * 100)]));
      const figures = Object.fromEntries(FIGURES.map((id) => [id, lhr.audits[id].displayValue]));
      const costs = categories.flatMap(({ id, auditRefs }) =>
        auditRefs
          .filter((ref) => ref.weight > 0 && (lhr.audits[ref.id].score ?? 1) < 0.9)
          .map((ref) => `${id}: ${lhr.audits[ref.id].title} (${lhr.audits[ref.id].displayValue ?? "fails"})`),
      );
      console.log(JSON.stringify({ page, device, scores, figures, costs }));
    }
  }
} finally {
  browser.kill();
}

async function measured(page, config) {
  const options = { port: browser.port, logLevel: "error", output: "json" };
  for (let tries = 1; ; tries++) {
    const { lhr } = await lighthouse(base + page, options, config);
    if (!lhr.runtimeError) return lhr;
    if (tries === TRIES) throw new Error(`${page}: ${lhr.runtimeError.message}`);
  }
}
