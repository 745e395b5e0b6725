/**
 * Random tests, and matrices of which the suite runs a sample: many rounds, which take minutes to hours, with VDISTREAM_LONG=1; a quarter of
 * the suite's with VDISTREAM_SHORT=1, for a second run of the suite on the same machine.
 */

import { randomInt } from 'node:crypto';

export interface Rounds {
  readonly inSuite: number;
  readonly long: number;
}

export const isLong = process.env.VDISTREAM_LONG === '1';

const SHARE = process.env.VDISTREAM_SHORT === '1' ? 4 : 1;

export const roundsOf = ({ inSuite, long }: Rounds): number => (isLong ? long : Math.ceil(inSuite / SHARE));

/** The seed of a run, which is printed: of the environment variable, to repeat a run, or a new one. */
export function seedOf(what: string, variable: string): number {
  const given = process.env[variable];
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  console.log(`${what}: ${variable}=${seed}`);
  return seed;
}
