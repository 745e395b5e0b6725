/** What --help prints; each page fits a screen. */

import { readFileSync } from 'node:fs';

const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';

const EXITS = 'Exit status: 0 done, 1 failed, 2 usage, 3 refused by a guard, 4 verify mismatch, 130 cancelled.\n';

const SRC = `SRC is a path, or - for standard input: a VHD, or a tar (OVA) that holds one or a chain of them, plain or
compressed with gzip, zstd or xz. Its kind is told by its content. Several VHD files are a chain, leaf first.
`;

const image = (strict: string): string => `  --disk NAME     this member of the archive, with its parents
  --raw           the disk has no format: SRC itself, or the first file of the archive
  --manifest HOW  the digests in the .mf of an archive: if-present (default), require, ignore
  --strict        ${strict}
  --sha256 HEX    check the bytes of SRC as they are stored; of one SRC only
`;

const IMAGE = image('what is odd about the image is an error, not a warning');

const STREAM = `  --virtual-size BYTES
                  of a raw disk, or of a chain whose leaf does not come first, where SRC is a stream
  --staging DIR   for such a chain instead: keep the layers before the leaf here; nothing is left behind
`;

export const HELP = {
  main: `vdistream: streams virtual disks from images onto block devices

Usage: vdistream COMMAND [OPTIONS] …

  info   SRC           what an image holds, and the virtual size for \`xe vdi-create\`
  check  SRC           everything that is wrong with an image
  write  SRC TARGET    write its disk to a block device, a logical volume or a file
  verify SRC TARGET    compare a target with the image

Examples:
  vdistream info image.ova
  vdistream write image.ova /dev/sm/backend/SR/VDI --verify
  curl -s http://glance/v2/images/ID/file | vdistream write - /dev/vg/lv

Each command has its own --help. --version prints the version.
${EXITS}`,

  info: `Usage: vdistream info SRC… [OPTIONS]

Prints the disks of an image: type, sizes, and where the data lies.
${SRC}
  --quick         stop as soon as the virtual size is known
${IMAGE}  --json          one JSON object on stdout, progress as JSON lines on stderr
  -q, --quiet     no progress, no warnings

Examples:
  vdistream info image.ova
  vdistream info leaf.vhd base.vhd
  vdistream info image.ova --quick --json | jq .virtualSize
`,

  check: `Usage: vdistream check SRC… [OPTIONS]

Looks through an image from end to end and lists everything that is wrong with it, each with a code, its
place and what to do. Goes on behind damage as far as it can. Writes nothing.
${SRC}
${image('exit status 1 for warnings, too')}  --json          one JSON object on stdout, progress as JSON lines on stderr
  -q, --quiet     no progress

Examples:
  vdistream check image.ova
  vdistream check image.ova --manifest=require --json | jq .findings

Exit status: 0 no errors, perhaps warnings; 1 errors; 2 usage; 130 cancelled.
`,

  write: `Usage: vdistream write SRC… TARGET [OPTIONS]

Writes the disk of an image to TARGET: a block device, a logical volume, a regular file (made if it is not
there, sparse), or null: to measure reading alone. In one pass; a chain is flattened on the way.
${SRC}
  --verify        read TARGET back afterwards and compare
  --zero POLICY   where the disk is empty: auto (default: skip if TARGET is known to read zero, else zero it),
                  assume-zero (skip), write (write zeros)
  --zero-tail     zero the rest of a larger TARGET too
${IMAGE}${STREAM}  --force GUARD   lift a guard: parent, type, busy, size, vhd
  --json          one JSON object on stdout, progress as JSON lines on stderr
  -q, --quiet     no progress, no warnings, no summary

Examples:
  vdistream write image.ova /dev/sm/backend/SR/VDI --zero=assume-zero --verify
  vdistream write leaf.vhd parent.vhd base.vhd disk.raw
  vdistream write - disk.raw < image.tar.gz

${EXITS}`,

  verify: `Usage: vdistream verify SRC… TARGET [OPTIONS]

Compares TARGET with the disk of an image, empty regions included. Names the first byte that differs.
${SRC}
${IMAGE}${STREAM}  --force GUARD   lift a guard: parent, type, size
  --json          one JSON object on stdout, progress as JSON lines on stderr
  -q, --quiet     no progress, no warnings, no summary

Example:
  vdistream verify image.ova /dev/sm/backend/SR/VDI

${EXITS}`,
} as const;
