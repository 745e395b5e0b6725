/** Seeded loops: a few rounds in the suite, and many, which take minutes, with VDISTREAM_LONG=1. */

import { randomInt } from 'node:crypto';

export interface Rounds {
  readonly inSuite: number;
  readonly long: number;
}

export const isLong = process.env.VDISTREAM_LONG === '1';

export const roundsOf = ({ inSuite, long }: Rounds): number => (isLong ? long : inSuite);

/** The seed of a run, which is printed: of the environment variable, to repeat a run, or a new one. */
export function seedOf(what: string, variable: string): number {
  const given = process.env[variable];
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  console.log(`${what}: ${variable}=${seed}`);
  return seed;
}
