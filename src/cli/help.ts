/** What --help prints; each page fits a screen. */

const EXITS = 'Exit status: 0 done, 1 failed, 2 usage, 3 refused by a guard, 4 verify mismatch, 130 cancelled.\n';

const SRC = `SRC is a path, - for standard input, a URL, or glance:ID (see \`vdistream help sources\`): a VHD, or a tar (OVA)
that holds one or a chain of them, plain or compressed with gzip, zstd or xz. Its kind is told by its content.
Several VHD files are a chain, leaf first.
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
`;

export const HELP = {
  main: `vdistream: streams virtual disks from images onto block devices

Usage: vdistream COMMAND [OPTIONS] …

  info   SRC           what an image holds, and the virtual size for \`xe vdi-create\`
  check  SRC           everything that is wrong with an image
  write  SRC TARGET    write its disk to a block device, a logical volume or a file
  verify SRC TARGET    compare a target with the image
  import SRC --sr SR   make a VDI on a storage repository of this Xen host, and write the disk to it
  reap                 remove what imports have left that were killed

Examples:
  vdistream info image.ova
  vdistream import glance:ID --glance http://10.0.0.1:9292 --sr UUID
  vdistream write https://images.example.org/image.ova /dev/vg/lv --verify

Each command has its own --help; \`vdistream help sources\` tells what SRC can be. --version prints the version.
${EXITS}`,

  sources: `SRC, of every command that reads an image, is one of
  PATH                a file or a device; several VHD files are a chain, leaf first
  -                   standard input
  http://…, https://… fetched as it is written; goes on where a lost connection broke off
  glance:ID           an image of Glance, its checksum compared before success is told

  --glance URL    base address of the image service; several are tried in turn
  --glance-version N
                  2 (default), or 1 for stores that have nothing newer
  --headers FILE  "Name: value" lines, sent to the first host only, never to one that it redirects to
  --ca FILE       trust the certificates in this PEM file, too; verification cannot be turned off
  --staging DIR   fetch the whole image first, into a file without a name that nothing is left of; of a pipe,
                  only the layers of a chain that come before its leaf
  --cache DIR     fetch the whole image first, and keep it: found by its checksum, and hashed at each use
  --cache-size N  bytes that the cache may take, or N with K, M, G, T; least recently used images go first

The token for Glance is taken from the environment (OS_TOKEN) or from --headers. Arguments are there for all
on the host to see, so nothing secret belongs there.

Examples:
  vdistream info glance:ID --glance http://10.0.0.1:9292
  vdistream write https://images.example.org/image.ova disk.raw --ca ca.pem --headers headers.txt
  vdistream import glance:ID --glance http://glance:9292 --sr UUID --cache /var/cache/images --cache-size 20G
`,

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

  import: `Usage: vdistream import SRC… --sr UUID [OPTIONS]

Makes a VDI on a storage repository, plugs it into Dom0, writes the disk to it, unplugs it, prints its uuid.
Whatever goes wrong, both are removed again; after kill -9, \`vdistream reap\` or the next import does it.
${SRC}
  --sr UUID       the storage repository; with --device, only to know what its new disks read as
  --name TEXT     name-label of the VDI (default: the name of SRC)
  --raw-vdi       a plain volume instead of a VHD: no hop through tapdisk, but no snapshots and clones either
  --device PATH   write to this device, which you have attached and will detach; no VDI is made
  --verify        read everything back before the VDI is unplugged, and compare
  --zero POLICY   auto, assume-zero, write; the default is what the SR's new disks call for
${IMAGE}${STREAM}  --force GUARD   lift a guard: parent, type, busy, size, vhd
  --xe PROGRAM    the xe to run (default: that on the PATH)
  --xe-timeout S  seconds for each of its commands (default 300)
  --json          one JSON object on stdout, progress as JSON lines on stderr
  -q, --quiet     no progress, no warnings; the uuid is printed all the same

Example:
  vdistream import glance:ID --glance http://10.0.0.1:9292 --sr UUID --verify

${EXITS}`,

  reap: `Usage: vdistream reap [OPTIONS]

Removes the unfinished VDIs, and their VBDs in Dom0, of imports on this host that no longer run. They are
found by the mark that \`vdistream import\` makes them with; nothing else is touched. Prints what it found.

  --sr UUID       only of this storage repository
  --dry-run       only tell
  --xe PROGRAM    the xe to run (default: that on the PATH)
  --xe-timeout S  seconds for each of its commands (default 300)
  --json          one JSON object on stdout
  -q, --quiet     no table

Examples:
  vdistream reap --dry-run
  vdistream reap --sr UUID --json | jq .removed

Exit status: 0 nothing that could not be removed, 1 something that could not, 2 usage, 130 cancelled.
`,
} as const;
