/** Chains as their producers link them: by locators in bytes or in sectors, or by the name in the header alone. */

import { withFooters, withHeader } from '../patch.ts';
import { chainVhds, createStack, type Form, SECTOR, type Stack } from '../vhd-model.ts';
import { type Image, madeImage } from './image.ts';
import { padded } from './vhds.ts';

const MIB = 1 << 20;
const BLOCK = (2 * MIB) / SECTOR;

/** Three layers: a snapshot of a snapshot, each with writes in blocks of its own and of its parents. */
export function threeLayers(kind: 'fixed' | 'dynamic' = 'dynamic', blockSize = 2 * MIB): Stack {
  const each = blockSize / SECTOR;
  const stack = createStack({ kind, blockSize, size: 5 * each });
  stack.write(0, each);
  stack.write(2 * each + 8, each);
  stack.snapshot(blockSize);
  stack.write(8, 8);
  stack.writeZeros(2 * each + 64, 128);
  stack.snapshot(blockSize);
  stack.writeZeros(0, 8);
  stack.write(3 * each - 8, 16);
  stack.write(4 * each + 8, 800 % each);
  return stack;
}

/** The leaf has grown since its snapshot was taken. */
function grownLeaf(): Stack {
  const stack = createStack({ kind: 'dynamic', size: 4 * BLOCK });
  stack.write(100, 64);
  stack.write(3 * BLOCK, BLOCK);
  stack.snapshot();
  stack.resize(10 * BLOCK);
  stack.write(96, 8);
  stack.write(9 * BLOCK + 8, 16);
  return stack;
}

/** A child that nothing was written to. */
function untouchedLeaf(): Stack {
  const stack = createStack({ kind: 'dynamic', size: 2 * BLOCK });
  stack.write(BLOCK - 8, 24);
  stack.snapshot();
  return stack;
}

interface Linked {
  readonly file: string;
  readonly stack: () => Stack;
  readonly form: Partial<Form>;
  /** What else the producer does to a layer, by its rank. */
  readonly change?: (vhd: Buffer, rank: number) => Buffer;
}

const nameOf = (rank: number): string => `layer-${rank}.vhd`;

function linked({ file, stack, form, change = (vhd) => vhd }: Linked): Image {
  const forms = stack().layers.map((_, rank): Form => ({ seed: 20 + rank, parentName: nameOf(rank + 1), ...form }));
  return madeImage({
    file: `made/${file}`,
    type: 'differencing',
    virtualSize: stack().size * SECTOR,
    blockSize: stack().layers[0]?.blockSize ?? null,
    content: () => stack().content(),
    files: () => chainVhds(stack().layers, forms).map((vhd, rank) => [nameOf(rank), change(vhd, rank)]),
  });
}

/** vhd-lib keeps the name of the parent in the header, and points the locator to the start of the file. */
function withoutLocator(vhd: Buffer, rank: number): Buffer {
  if (rank > 0) return vhd;
  const changed = withHeader(vhd, (header) => void header.writeBigUInt64BE(0n, 576 + 16));
  return padded(changed, 2 * MIB);
}

/** `vhd-util resize` leaves the size that the disk was made with. */
const grown = (vhd: Buffer, rank: number): Buffer =>
  rank > 0 ? vhd : withFooters(vhd, 'both', (footer) => void footer.writeBigUInt64BE(BigInt(4 * BLOCK * SECTOR), 40));

export const producedChains = (): Image[] => [
  linked({ file: 'tapdisk/chain-of-three', stack: threeLayers, form: { batmap: true, locators: 'bytes', spare: 300, gap: 7 } }),
  linked({
    file: 'tapdisk/chain-with-a-grown-leaf',
    stack: grownLeaf,
    form: { batmap: true, locators: 'bytes', spare: 22 },
    change: grown,
  }),
  linked({
    file: 'tapdisk/chain-over-old-data',
    stack: threeLayers,
    form: { batmap: true, garbage: true, shuffled: true, locators: 'bytes' },
  }),
  linked({ file: 'tapdisk/chain-over-a-fixed-disk', stack: () => threeLayers('fixed'), form: { locators: 'bytes' } }),
  linked({ file: 'xen-orchestra/chain-of-two', stack: grownLeaf, form: { creator: 'xo  ', locators: 'sectors' }, change: withoutLocator }),
  linked({ file: 'ocaml-vhd/chain-with-an-untouched-leaf', stack: untouchedLeaf, form: { creator: 'caml', locators: 'sectors' } }),
  linked({ file: 'windows/chain-of-three', stack: threeLayers, form: { creator: 'win ', locators: 'bytes', shuffled: true } }),
];
