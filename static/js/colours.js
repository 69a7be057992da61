// @ts-check
// The colours of heat-maps, as in xda.present.colour: the hue says the sign, the opacity the strength.

const ZERO = 127;
const GAMMA = 0.7;
// The number of the largest relevance (FULL in xda.present.signed_maps).
const FULL = 32767;

/** @type {Record<string, [number[], number[]]>} */
const ENDS = {
  // opposition, support
  "red-blue": [
    [54, 114, 233],
    [219, 44, 43],
  ],
  "orange-purple": [
    [142, 94, 199],
    [180, 98, 12],
  ],
};

/** @type {Map<string, Uint32Array>} */
const tables = new Map();

/**
 * Return the 255 levels of a scale as RGBA, most opposing first.
 *
 * @param {string} colours
 * @returns {Uint8ClampedArray}
 */
export function levels(colours) {
  const [oppose, support] = ENDS[colours] ?? /** @type {[number[], number[]]} */ (ENDS["red-blue"]);
  const bytes = new Uint8ClampedArray(4 * (2 * ZERO + 1));
  for (let level = -ZERO; level <= ZERO; level++) {
    const alpha = Math.floor(255 * (Math.abs(level) / ZERO) ** GAMMA + 0.5);
    bytes.set([...(level < 0 ? oppose : support), alpha], 4 * (level + ZERO));
  }
  return bytes;
}

/** @param {string} colours */
function table(colours) {
  const known = tables.get(colours);
  if (known) return known;
  const made = new Uint32Array(levels(colours).buffer);
  tables.set(colours, made);
  return made;
}

/**
 * Return the pixels of a signed map, RGBA.
 *
 * @param {Int16Array} values
 * @param {number} share - The map's largest magnitude over that of full colour.
 * @param {string} colours
 * @returns {Uint8ClampedArray<ArrayBuffer>}
 */
export function painted(values, share, colours) {
  const colour = table(colours);
  const pixels = new Uint32Array(values.length);
  const factor = (ZERO * share) / FULL;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    const level = Math.min(ZERO, Math.floor(Math.abs(value) * factor + 0.5));
    pixels[i] = colour[value < 0 ? ZERO - level : ZERO + level] ?? 0;
  }
  return new Uint8ClampedArray(pixels.buffer);
}
