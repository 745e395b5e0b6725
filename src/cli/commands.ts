/** The commands: the table that help, the completions, the man page and the parser are made from. What they do is in actions.ts. */

export interface Command {
  /** Without a full stop. */
  readonly summary: string;
  /** What follows the name on the usage line. */
  readonly usage: string;
  /** In their order; the first may be given several times. SRC is an image, DISK what `export` reads. */
  readonly operands: readonly ('SRC' | 'DISK' | 'TARGET')[];
  readonly description: string;
  readonly examples: readonly string[];
  readonly exit: readonly ExitStatus[];
}

export type CommandName = 'info' | 'check' | 'write' | 'verify' | 'import' | 'export' | 'upload' | 'reap';

export interface ExitStatus {
  readonly status: number;
  /** In a few words, for one line of help. */
  readonly brief: string;
  readonly meaning: string;
}

/** Of `info`, `write`, `verify` and `import`. */
export const EXIT_STATUSES: readonly ExitStatus[] = [
  { status: 0, brief: 'success', meaning: 'Success.' },
  { status: 1, brief: 'failure', meaning: 'Failure. `check`: the image has errors. `reap`: something could not be removed.' },
  { status: 2, brief: 'usage', meaning: 'The command line is wrong.' },
  {
    status: 3,
    brief: 'refused by a guard',
    meaning: 'A guard of TARGET refused, and nothing was written. The guard `parent` exits with 1.',
  },
  { status: 4, brief: 'verify mismatch', meaning: 'TARGET does not match the image.' },
  { status: 130, brief: 'cancelled', meaning: 'Cancelled by a signal.' },
];

/** Those of a command that touches no target. */
const withoutTarget = (success: string, failure: string): readonly ExitStatus[] =>
  EXIT_STATUSES.filter(({ status }) => status !== 3 && status !== 4).map((row) => ({
    ...row,
    brief: [success, failure][row.status] ?? row.brief,
  }));

export const COMMANDS: Readonly<Record<CommandName, Command>> = {
  info: {
    summary: 'show what an image holds, and its virtual size',
    usage: 'SRC... [OPTIONS]',
    operands: ['SRC'],
    description: 'Shows the disks in an image: type, sizes, and where the data lies.',
    examples: ['vdistream info image.ova', 'vdistream info leaf.vhd base.vhd', 'vdistream info image.ova --quick --json | jq .virtualSize'],
    exit: withoutTarget('success', 'failure'),
  },
  check: {
    summary: 'list everything that is wrong with an image',
    usage: 'SRC... [OPTIONS]',
    operands: ['SRC'],
    description: `Reads an image from end to end and lists everything that is wrong with it: code, place and advice.
Continues past damage where it can. Writes nothing.`,
    examples: ['vdistream check image.ova', 'vdistream check image.ova --manifest=require --json | jq .findings'],
    exit: withoutTarget('no errors, maybe warnings', 'errors'),
  },
  write: {
    summary: 'write the disk in an image to a block device or a file',
    usage: 'SRC... TARGET [OPTIONS]',
    operands: ['SRC', 'TARGET'],
    description: `Writes the disk in an image to TARGET in one pass; flattens a chain. TARGET is a block device, a
logical volume, a file (created if missing, sparse), or null: to measure how fast SRC can be read.`,
    examples: [
      'vdistream write image.ova /dev/sm/backend/SR/VDI --zero=assume-zero --verify',
      'vdistream write leaf.vhd parent.vhd base.vhd disk.raw',
      'vdistream write - disk.raw < image.tar.gz',
    ],
    exit: EXIT_STATUSES,
  },
  verify: {
    summary: 'compare a block device or a file with an image',
    usage: 'SRC... TARGET [OPTIONS]',
    operands: ['SRC', 'TARGET'],
    description: `Compares TARGET with the disk in an image, empty regions included. Reports the first difference.
TARGET is as for \`write\`, or nbd://HOST/EXPORT.`,
    examples: ['vdistream verify image.ova /dev/sm/backend/SR/VDI'],
    exit: EXIT_STATUSES,
  },
  import: {
    summary: 'create a VDI on this Xen host, or in a pool, and write the disk in an image to it',
    usage: 'SRC... --sr UUID [OPTIONS]',
    operands: ['SRC'],
    description: `Writes the disk in an image to a new VDI, and prints its UUID. Removes the VDI if anything fails.
See also \`vdistream help many\` (--list, --all-disks) and \`help pool\` (--xapi, from outside Dom0).`,
    examples: ['vdistream import glance:ID --glance http://10.0.0.1:9292 --sr UUID --verify'],
    exit: EXIT_STATUSES,
  },
  export: {
    summary: 'make an image of block devices, files or VDIs',
    usage: 'DISK... -o OUT [OPTIONS]',
    operands: ['DISK'],
    description: `Reads disks, and writes an image of them to OUT: a VHD, a raw disk, a tar or an OVA, maybe
compressed. DISK is a block device, a logical volume, a raw file, a VHD chain (leaf first),
vdi:UUID or nbd://HOST/EXPORT. OUT is a file, - (standard output), null: or a URL; its name decides
the form: .vhd, .raw, .tar, .ova, .tar.gz, .vhd.gz. A file appears only once it is complete.`,
    examples: [
      'vdistream export vdi:UUID -o image.tar.gz',
      'vdistream export nbds://HOST/EXPORT -o disk.vhd.gz --ca ca.pem',
      'vdistream export /dev/vg/root /dev/vg/data -o machine.ova --verify',
      'vdistream export /dev/vg/root -o - | ssh HOST vdistream import - --sr UUID',
    ],
    exit: EXIT_STATUSES,
  },
  upload: {
    summary: 'upload an image of block devices, files or VDIs to Glance',
    usage: 'DISK... glance:ID|--create --glance URL [OPTIONS]',
    operands: ['DISK'],
    description: `Makes an image of disks as \`export\` does, and sends it to Glance: by default 0.vhd in a tar.gz, as
Nova does. Succeeds once the image is active, with the size and the checksum of what was sent.`,
    examples: [
      'vdistream upload vdi:UUID glance:ID --glance http://10.0.0.1:9292',
      'vdistream upload image.tar.gz --as-is --create --glance http://10.0.0.1:9292',
    ],
    exit: withoutTarget('the image is active', 'failure'),
  },
  reap: {
    summary: 'remove what killed imports and exports of VDIs left behind',
    usage: '[OPTIONS]',
    operands: [],
    description: `Removes VDIs left behind by killed imports on this host, and their VBDs in Dom0. They are
identified by the owner tag that \`vdistream import\` sets. Of a killed export, it removes the VBD
in Dom0, and never the VDI. Nothing else is touched.`,
    examples: ['vdistream reap --dry-run', 'vdistream reap --sr UUID --json | jq .removed'],
    exit: withoutTarget('nothing left to remove', 'something could not be removed'),
  },
};

export const isCommand = (name: string | undefined): name is CommandName => name !== undefined && Object.hasOwn(COMMANDS, name);

export const COMMAND_NAMES: readonly CommandName[] = Object.keys(COMMANDS).filter(isCommand);

interface EnvironmentVariable {
  readonly name: string;
  readonly meaning: string;
}

export const ENVIRONMENT: readonly EnvironmentVariable[] = [
  { name: 'OS_TOKEN', meaning: 'The token for Glance, sent as `X-Auth-Token` to the image service only.' },
  { name: 'XAPI_USER', meaning: 'The user for the pool of `--xapi`.' },
  { name: 'XAPI_PASSWORD', meaning: 'The password of that user.' },
  { name: 'XAPI_SESSION', meaning: 'In place of both: the reference of a session that is open, and stays open.' },
  { name: 'VDISTREAM_XE', meaning: 'The `xe` program to run. `--xe` overrides it.' },
  {
    name: 'VDISTREAM_INVENTORY',
    meaning: 'The file with the UUIDs of this host and of Dom0, if it is not `/etc/xensource-inventory`.',
  },
  { name: 'VDISTREAM_LOCKS', meaning: 'The folder for locks of imports and exports, if it is not `/run/vdistream`.' },
  { name: 'VDISTREAM_RECORDS', meaning: 'The folder for records of unfinished imports and exports, if it is not `/var/lib/vdistream`.' },
  {
    name: 'VDISTREAM_NATIVE',
    meaning: 'If `0`, the native addon is not loaded. Then only files are read and written, as on a system without it.',
  },
  { name: 'VDISTREAM_DEBUG', meaning: 'If not empty, a bug in vdistream is reported with its stack.' },
  { name: 'NO_COLOR', meaning: 'Has no effect: vdistream prints no colours. On a terminal, it only moves the cursor.' },
];
