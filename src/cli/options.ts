/** The options: the table that the parser, help, the documentation, the completions and the man page are made from. */

import { INFLATES } from '../codec/inflate.ts';
import { ZERO_POLICIES } from '../engine/plan.ts';
import { GUARDS } from '../errors.ts';
import { MANIFEST_MODES } from '../ova/member-digests.ts';
import type { CommandName } from './commands.ts';
import type { Option } from './option.ts';
import { EXPORT_OPTIONS } from './options-of-export.ts';
import { MANY_OPTIONS } from './options-of-many.ts';
import { OUTPUT_OPTIONS } from './options-of-output.ts';
import { UPLOAD_OPTIONS } from './options-of-upload.ts';
import { XAPI_OPTIONS } from './options-of-xapi.ts';

const READERS = ['info', 'check', 'write', 'verify', 'import'] as const;
const WITH_TARGET = ['write', 'verify', 'import'] as const;
const WITH_TOOLSTACK = ['import', 'export', 'upload', 'reap'] as const;
const WITH_GLANCE = [...READERS, 'upload'] as const;
const WITH_URLS = [...WITH_GLANCE, 'export'] as const;

export const GLANCE_VERSIONS = ['1', '2'] as const;

/** In the order of help. */
export const OPTIONS = {
  quick: { sentence: 'stop as soon as the virtual size is known; not with --sha256', commands: ['info'] },
  ...EXPORT_OPTIONS,
  ...UPLOAD_OPTIONS,
  sr: {
    argument: 'UUID',
    sentence: 'create the VDI on this storage repository',
    commands: ['import', 'reap'],
    override: { reap: { sentence: 'search only this storage repository' } },
  },
  name: {
    argument: 'TEXT',
    sentence: 'name-label of the VDI',
    commands: ['import', 'export', 'upload'],
    default: 'the name of SRC',
    override: {
      export: { sentence: 'of the appliance and its files', default: 'the name of OUT' },
      upload: { sentence: 'of the image that is created', default: 'none' },
    },
  },
  'raw-vdi': {
    sentence: 'create a plain volume instead of a VHD: no tapdisk, no snapshots, no clones',
    commands: ['import'],
    page: 'import.md#raw-vdis',
  },
  device: {
    argument: 'PATH',
    sentence: 'write to this device, which you have attached; create no VDI',
    commands: ['import'],
    path: 'file',
    page: 'import.md#a-device-of-your-own',
  },
  ...MANY_OPTIONS,
  verify: {
    sentence: 'read everything back after writing, and compare checksums',
    commands: ['write', 'import', 'export'],
    override: {
      import: { sentence: 'read everything back before the VDI is unplugged, and compare checksums' },
      export: { sentence: 'read OUT back afterwards, and compare it with the disks' },
    },
  },
  zero: {
    argument: 'POLICY',
    sentence: 'policy for empty regions',
    commands: ['write', 'import'],
    default: 'auto',
    values: ZERO_POLICIES,
    page: 'write.md#empty-regions',
    override: { import: { default: 'by SR type' } },
  },
  'zero-tail': { sentence: 'also zero the rest of a device that is larger than the disk', commands: ['write'] },
  'dry-run': {
    sentence: 'check everything up to the first write, and write nothing',
    commands: ['write', 'import', 'reap'],
    override: {
      import: { sentence: 'check everything up to the first change, and change nothing' },
      reap: { sentence: 'list what would be removed, and remove nothing' },
    },
  },
  force: {
    argument: 'GUARD',
    sentence: 'lift a guard',
    commands: [...WITH_TARGET, 'export', 'upload'],
    values: GUARDS,
    repeatable: true,
    page: 'write.md#guards',
    override: {
      verify: { values: ['parent', 'type', 'size'] },
      export: { sentence: 'lift a guard; content replaces OUT', values: ['content', 'parent'], page: 'export.md#what-export-refuses' },
      upload: { values: ['parent'], page: 'export.md#what-export-refuses' },
    },
  },
  xe: { argument: 'PROGRAM', sentence: 'the xe program to run', commands: WITH_TOOLSTACK, default: 'xe on the PATH', path: 'file' },
  'xe-timeout': {
    argument: 'S',
    sentence: 'seconds that each xe command may take',
    commands: WITH_TOOLSTACK,
    default: '300',
  },
  ...XAPI_OPTIONS,
  disk: {
    argument: 'NAME',
    sentence: 'use this member of the archive, with its parents',
    commands: READERS,
    group: 'image',
  },
  raw: {
    sentence: 'the disk is raw: SRC itself, or the .raw or .img file of the archive',
    commands: [...READERS, 'export', 'upload'],
    group: 'image',
    page: 'images.md#raw-disks',
    override: {
      export: { sentence: 'DISK is raw, even if it begins with a VHD or an archive', page: 'export.md#disks' },
      upload: { sentence: 'DISK is raw, even if it begins with a VHD or an archive', page: 'export.md#disks' },
    },
  },
  'raw-base': {
    sentence: 'the base of the chain is raw, whatever its name',
    commands: [...READERS, 'export', 'upload'],
    group: 'source',
    page: 'images.md#a-raw-base',
  },
  manifest: {
    argument: 'HOW',
    sentence: 'compare the digests in a manifest',
    commands: READERS,
    group: 'image',
    default: 'if-present',
    values: MANIFEST_MODES,
    page: 'images.md#ovf-and-manifest',
  },
  strict: {
    sentence: 'treat anything unusual in the image as an error',
    commands: READERS,
    group: 'image',
    page: 'images.md#odd-images',
    override: { check: { sentence: 'exit with status 1 for warnings, too' } },
  },
  sha256: { argument: 'HEX', sentence: 'compare the bytes of SRC, as stored, with this SHA-256', commands: READERS, group: 'source' },
  'virtual-size': {
    argument: 'BYTES',
    sentence: 'size of a raw disk, a fixed VHD, or a chain with a late leaf, in a stream',
    commands: WITH_TARGET,
    group: 'image',
    page: 'images.md#order-and-the-size-of-the-leaf',
  },
  glance: {
    argument: 'URL',
    sentence: 'base address of the image service; several are tried in turn',
    commands: WITH_GLANCE,
    group: 'source',
    repeatable: true,
    page: 'images.md#glance',
  },
  'glance-version': {
    argument: 'N',
    sentence: 'version of the Glance API',
    commands: WITH_GLANCE,
    group: 'source',
    default: '2',
    values: GLANCE_VERSIONS,
  },
  headers: {
    argument: 'FILE',
    sentence: 'send these headers, one "Name: value" per line, to the first host only',
    commands: WITH_URLS,
    group: 'source',
    path: 'file',
    page: 'images.md#secrets',
  },
  ca: {
    argument: 'FILE',
    sentence: 'also trust the certificates in this PEM file',
    commands: WITH_URLS,
    group: 'source',
    path: 'file',
  },
  staging: {
    argument: 'DIR',
    sentence: 'download the whole image to DIR first; of a pipe, keep layers before the leaf',
    commands: READERS,
    group: 'source',
    path: 'folder',
    page: 'images.md#staging-and-cache',
  },
  cache: {
    argument: 'DIR',
    sentence: 'download the whole image to DIR first, and keep it; needs --cache-size',
    commands: READERS,
    group: 'source',
    path: 'folder',
    page: 'images.md#staging-and-cache',
  },
  'cache-size': {
    argument: 'SIZE',
    sentence: 'limit in bytes, or with K, M, G or T; evicts the least recently used images',
    commands: READERS,
    group: 'source',
  },
  inflate: {
    argument: 'LIB',
    sentence: 'inflate gzip with this library',
    commands: READERS,
    group: 'source',
    default: 'auto',
    values: INFLATES,
    page: 'images.md#compression',
  },
  ...OUTPUT_OPTIONS,
} as const satisfies Readonly<Record<string, Option>>;

type OptionName = keyof typeof OPTIONS;
type NameOf<Shape> = { [Name in OptionName]: (typeof OPTIONS)[Name] extends Shape ? Name : never }[OptionName];

export type ListName = NameOf<{ readonly argument: string; readonly repeatable: true }>;
export type TextName = Exclude<NameOf<{ readonly argument: string }>, ListName>;
export type FlagName = Exclude<OptionName, TextName | ListName>;

export interface NamedOption extends Option {
  readonly name: string;
}

export const allOptions = (): NamedOption[] => Object.entries<Option>(OPTIONS).map(([name, option]) => ({ name, ...option }));

/** As they are in this command. */
export const optionsOf = (command: CommandName): NamedOption[] =>
  allOptions()
    .filter(({ commands }) => commands.includes(command))
    .map((option) => ({ ...option, ...option.override?.[command] }));
