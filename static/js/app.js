// @ts-check
// Starts the modules. Every page works without scripts; each module says what it adds.
import { installAhead, planAhead } from "./ahead.js";
import { installCopy } from "./copy.js";
import { installDisplay } from "./display.js";
import { installHeatmaps } from "./heatmaps.js";
import { installHiding, showHiding } from "./hiding.js";
import { installKeys } from "./keys.js";
import { installMenus } from "./menus.js";
import { installNavigation, installQuestion } from "./navigation.js";
import { installProbe } from "./probe.js";
import { installRoving, installRovingKeys } from "./roving.js";
import { installShare } from "./share.js";
import { installTheme } from "./theme-toggle.js";

const once = [
  installAhead,
  installCopy,
  installDisplay,
  installHiding,
  installRovingKeys,
  installKeys,
  installMenus,
  installNavigation,
  installShare,
];
const onEveryPage = [
  installHeatmaps,
  showHiding,
  installProbe,
  installQuestion,
  installRoving,
  installTheme,
  planAhead,
];

for (const install of once) install();

function enhance() {
  for (const install of onEveryPage) install();
}

enhance();
document.addEventListener("htmx:after:swap", enhance);
