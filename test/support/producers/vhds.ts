/**
 * Single VHDs in the shapes of the programs that write them. What the disk holds comes from the model; a shape only moves it
 * about, and sets the fields that the producer is known by.
 */

import { createHash } from 'node:crypto';
import { noise } from '../chunks.ts';
import { dynamicVhd } from '../make-vhd.mjs';
import { type Change, withFooters } from '../patch.ts';
import { createStack, type Form, identity, layerVhd, SECTOR, type Stack } from '../vhd-model.ts';
import { type Image, madeImage } from './image.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const QEMU = 'qemu-img';
const LIBVHDI = 'libvhdi';
const BOTH = [QEMU, LIBVHDI];

/** A block that is full, one that is partly filled, one that is absent, writes over the edges of blocks, and an odd end. */
export function someDisk(kind: 'fixed' | 'dynamic', blockSize: number, blocks: number): Stack {
  const each = blockSize / SECTOR;
  const size = blocks * each - Math.floor(each / 3);
  const stack = createStack({ kind, blockSize, size });
  stack.write(0, each);
  stack.write(each + 3, Math.ceil(each / 2));
  stack.write(3 * each - 1, 2);
  stack.writeZeros(3 * each + 2, 2);
  stack.write(size - 1, 1);
  return stack;
}

/** The only layer of a stack without snapshots. */
export function onlyVhd({ layers: [layer] }: Stack, form: Form): Buffer {
  if (layer === undefined) throw new Error('a stack has a layer');
  return layerVhd(layer, form, identity(form.seed));
}

interface Shape {
  readonly file: string;
  readonly kind?: 'fixed' | 'dynamic';
  readonly blockSize?: number;
  /** Blocks of the disk. */
  readonly blocks?: number;
  readonly form?: Partial<Form>;
  /** What else the producer does to the file. */
  readonly change?: (vhd: Buffer) => Buffer;
  /** Who can read it, here 2 MiB blocks without garbage under clear bits. */
  readonly decoders?: readonly string[];
}

function shaped({ file, kind = 'dynamic', blockSize = 2 * MIB, blocks = 5, form, change = (vhd) => vhd, decoders = [] }: Shape): Image {
  const disk = (): Stack => someDisk(kind, blockSize, blocks);
  return madeImage({
    file: `made/${file}`,
    type: kind,
    virtualSize: disk().size * SECTOR,
    blockSize: kind === 'fixed' ? null : blockSize,
    decoders,
    content: () => disk().content(),
    files: () => [['disk.vhd', change(onlyVhd(disk(), { seed: 5, ...form }))]],
  });
}

/** An empty disk of any size. */
function empty(
  file: string,
  size: number,
  more: { readonly batmap?: boolean; readonly creator: string; readonly creatorVersion?: number; readonly tableEntries?: number },
): Image {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(size));
  return madeImage({
    file: `made/${file}`,
    type: 'dynamic',
    virtualSize: size,
    blockSize: 2 * MIB,
    decoders: BOTH,
    // The digest of a disk without data is that of its size.
    ...(size > 16 * KIB * MIB ? { sparseDigest: createHash('sha256').update(bytes).digest('hex') } : { content: () => Buffer.alloc(size) }),
    files: () => [['disk.vhd', dynamicVhd({ size, blocks: new Map(), ...more })]],
  });
}

/** The creator and its version, in the footer and its copy. */
const by =
  (creator: string, version: number, more: Change = () => {}): Change =>
  (footer) => {
    footer.write(creator, 28, 4, 'latin1');
    footer.writeUInt32BE(version, 32);
    more(footer);
  };
const dynamicBy =
  (...creator: Parameters<typeof by>) =>
  (vhd: Buffer) =>
    withFooters(vhd, 'both', by(...creator));
const fixedBy =
  (...creator: Parameters<typeof by>) =>
  (vhd: Buffer) =>
    withFooters(vhd, 'end', by(...creator));

/** Whole cylinders of 4 heads and 17 sectors: less than the disk, as for nearly every disk of Windows. */
const geometry: Change = (footer) => {
  const sectors = Number(footer.readBigUInt64BE(48)) / SECTOR;
  footer.writeUInt16BE(Math.floor(sectors / (4 * 17)), 56);
  footer.set([4, 17], 58);
};
/** Boot code of Windows 10 in the reserved bytes, where tapdisk has its hidden flag. */
const bootCode: Change = (footer) => footer.fill(noise(426, 6), 85, 511);
const hidden: Change = (footer) => void footer.writeUInt8(1, 85);

/** Bytes that a producer leaves before the footer at the end. */
export const padded = (vhd: Buffer, bytes: number): Buffer =>
  Buffer.concat([vhd.subarray(0, -SECTOR), Buffer.alloc(bytes), vhd.subarray(-SECTOR)]);

const TAP = ['tap\0', 0x00010003] as const;
const WINDOWS_10 = ['win ', 0x000a0000] as const;

/** tapdisk and vhd-util: a batmap after the table, data aligned to 4 KiB, and a table that has room to grow. */
const tapdisk = (): Image[] => [
  // A table of three sectors, so that gaps of seven put each bitmap into the sector before its aligned data.
  shaped({ file: 'tapdisk/aligned', form: { batmap: true, gap: 7, spare: 300 }, decoders: BOTH }),
  shaped({ file: 'tapdisk/blocks-out-of-order', form: { batmap: true, gap: 7, spare: 300, shuffled: true, idle: 2 }, decoders: BOTH }),
  shaped({ file: 'tapdisk/preallocated-table-2T', form: { batmap: true, spare: (1 << 20) - 5 }, decoders: BOTH }),
  // qemu-img looks at no bitmap, and libvhdi takes a byte of it for one sector.
  shaped({ file: 'tapdisk/old-data-under-clear-bits', form: { batmap: true, garbage: true, shuffled: true } }),
  shaped({ file: 'tapdisk/hidden', form: { batmap: true }, change: dynamicBy(...TAP, hidden), decoders: BOTH }),
  shaped({
    file: 'tapdisk/poisoned-while-open',
    form: { batmap: true },
    change: (vhd) => withFooters(vhd, 'end', (footer) => void footer.write('v_poison', 'latin1')),
    decoders: [QEMU],
  }),
  shaped({ file: 'tapdisk/fixed', kind: 'fixed', blocks: 2, change: fixedBy(...TAP), decoders: BOTH }),
  empty('tapdisk/empty', 16 * MIB, { creator: TAP[0], creatorVersion: TAP[1], batmap: true }),
  empty('tapdisk/empty-2093049M', 2_093_049 * MIB, { creator: TAP[0], creatorVersion: TAP[1], batmap: true }),
];

/** Xen Orchestra's vhd-lib writes blocks of other sizes, and honours no bitmap that it copies. */
const xenOrchestra = (): Image[] => [
  shaped({
    file: 'xen-orchestra/blocks-of-4K',
    blockSize: 4 * KIB,
    blocks: 25,
    form: { creator: 'xo  ', shuffled: true },
    decoders: [QEMU],
  }),
  shaped({ file: 'xen-orchestra/blocks-of-512K', blockSize: 512 * KIB, blocks: 10, form: { creator: 'xo  ', shuffled: true } }),
  shaped({ file: 'xen-orchestra/blocks-of-16M', blockSize: 16 * MIB, blocks: 4, form: { creator: 'xo  ', shuffled: true } }),
  shaped({ file: 'xen-orchestra/whole-blocks', form: { creator: 'xo  ', idle: 1 }, decoders: BOTH }),
];

/** Windows, with what it stood on: Virtual PC. */
const microsoft = (): Image[] => [
  shaped({
    file: 'windows/10-dynamic',
    form: { shuffled: true },
    change: (vhd) => padded(dynamicBy(...WINDOWS_10, geometry)(vhd), 7 * SECTOR),
    decoders: BOTH,
  }),
  shaped({
    file: 'windows/10-reserved-bytes',
    change: (vhd) => padded(dynamicBy(...WINDOWS_10, bootCode)(vhd), 7 * SECTOR),
    decoders: BOTH,
  }),
  shaped({ file: 'windows/10-fixed', kind: 'fixed', blocks: 3, change: fixedBy(...WINDOWS_10, geometry), decoders: BOTH }),
  shaped({ file: 'windows/10-fixed-reserved-bytes', kind: 'fixed', blocks: 2, change: fixedBy(...WINDOWS_10, bootCode), decoders: BOTH }),
  shaped({ file: 'windows/7-dynamic', form: { shuffled: true }, change: dynamicBy('win ', 0x00060001, geometry), decoders: BOTH }),
  shaped({
    file: 'windows/hyper-v-preallocated',
    form: { idle: 1 },
    change: (vhd) => padded(dynamicBy(...WINDOWS_10)(vhd), MIB),
    decoders: BOTH,
  }),
  shaped({ file: 'virtual-pc/dynamic', change: dynamicBy('vpc ', 0x00050000, geometry), decoders: BOTH }),
  shaped({ file: 'virtual-pc/footer-of-511-bytes', change: (vhd) => dynamicBy('vpc ', 0x00050000)(vhd).subarray(0, -1), decoders: [QEMU] }),
  shaped({
    file: 'virtual-pc/fixed-footer-of-511-bytes',
    kind: 'fixed',
    blocks: 2,
    change: (vhd) => fixedBy('vpc ', 0x00050000)(vhd).subarray(0, -1),
  }),
];

/** Others that set their name, and little else. */
const others = (): Image[] => [
  shaped({ file: 'virtualbox/dynamic', form: { idle: 1 }, change: dynamicBy('vbox', 0x00040000, geometry), decoders: BOTH }),
  shaped({ file: 'ocaml-vhd/partial-bitmaps', form: { creator: 'caml' }, change: dynamicBy('caml', 0x00000001), decoders: BOTH }),
  shaped({ file: 'bximage/fixed', kind: 'fixed', blocks: 2, change: fixedBy('bxic', 0x00020006), decoders: BOTH }),
  shaped({
    file: 'any/original-size-is-another',
    change: dynamicBy('qemu', 0x00050003, (footer) => void footer.writeBigUInt64BE(BigInt(3 * MIB), 40)),
    decoders: [QEMU],
  }),
  shaped({ file: 'any/last-block-short', form: { short: true }, blockSize: 64 * KIB }),
  shaped({ file: 'any/blocks-of-512-bytes', blockSize: SECTOR, blocks: 40, form: { garbage: true, shuffled: true, spare: 5 } }),
  shaped({ file: 'any/entries-to-spare-that-hold-garbage', blockSize: 64 * KIB, form: { garbage: true, spare: 200, gap: 3 } }),
  empty('discutils/empty', 3 * MIB, { creator: 'dutl' }),
  empty('qemu/empty-2040G', 2040 * KIB * MIB, { creator: 'qem2' }),
];

export const producedVhds = (): Image[] => [...tapdisk(), ...xenOrchestra(), ...microsoft(), ...others()];
