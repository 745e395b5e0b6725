/** Seeded loops: a few rounds in the suite, and many, which take minutes, with VDISTREAM_LONG=1. */

export interface Rounds {
  readonly inSuite: number;
  readonly long: number;
}

export const roundsOf = ({ inSuite, long }: Rounds): number => (process.env.VDISTREAM_LONG === '1' ? long : inSuite);
