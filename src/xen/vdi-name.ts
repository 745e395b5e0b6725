/** The name-label of each VDI of an archive. It is set before the next disk is known, so it cannot depend on how many there are. */

interface NamedDisk {
  /** What the caller calls the first one. */
  readonly name: string | undefined;
  /** The name of the source. */
  readonly source: string;
  /** Undefined for a disk without an archive. */
  readonly member: string | undefined;
  /** From 0. */
  readonly index: number;
}

/** A member's name can have 64 KiB, and an argument of a program not much more. */
const MAX_MEMBER = 255;

/** `NAME`, `NAME 2`, …; without a name, `SOURCE/MEMBER`. */
export function vdiName({ name, source, member, index }: NamedDisk): string {
  if (name !== undefined) return index === 0 ? name : `${name} ${index + 1}`;
  return member === undefined ? source : `${source}/${member.slice(-MAX_MEMBER)}`;
}
