/** Content: blocks that compress about as well as those of a real disk, the same each time. */

import { BLOCK } from './vhd.mjs';

/** A map for vhdParts. @param {Iterable<number>} numbers  of the blocks, in file order @param {number} [seed] */
export function sampleBlocks(numbers, seed = 1) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  const words = Array.from({ length: 512 }, random);
  /** @type {Map<number, Uint8Array>} */
  const blocks = new Map();
  for (const number of numbers) {
    const block = new Uint32Array(BLOCK / 4);
    for (let at = 0; at < block.length; at += 4) {
      const from = random() >>> 8;
      // Mostly repeated words, and one random one.
      block.set([words[from % 509] ?? 0, words[(from % 509) + 1] ?? 0, words[(from % 509) + 2] ?? 0, random()], at);
    }
    blocks.set(number, new Uint8Array(block.buffer));
  }
  return blocks;
}
