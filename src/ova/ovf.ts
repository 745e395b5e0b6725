/**
 * The OVF descriptor: the files of an appliance, and which of them are its disks (DMTF DSP0243).
 *
 *   Envelope
 *     References    File  id, href, size, compression, chunkSize
 *     DiskSection   Disk  diskId, fileRef, capacity, capacityAllocationUnits, format, parentRef
 *
 * Before 1.0 the section was <Section xsi:type="ovf:DiskSection_Type">. Producers differ in namespace and prefixes, so only local names are
 * compared. An href is only compared with the names of members, and never opened.
 *
 * What no disk depends on may be odd, with a warning: many producers, and many people, write these files by hand.
 */

import { GiB, KiB, MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import type { OnWarning } from '../warnings.ts';
import { isRawName, isVhdName, plainName } from './select.ts';
import { readXml, type XmlElement } from './xml.ts';

/** The largest descriptor that is read. Real ones have some tens of KiB, or more with licence texts. */
export const MAX_OVF_BYTES = 4 * MiB;
const MAX_ENTRIES = 4096;

interface OvfFile {
  readonly id: string | undefined;
  /** The name of a member, percent-decoded and without a leading "./". */
  readonly href: string;
  /** Bytes of the file as stored. */
  readonly size?: number | undefined;
  /** As written: 'gzip', 'identity', or any other text. */
  readonly compression?: string | undefined;
  /** The file is stored as several members: href.000000000 and so on. */
  readonly chunked: boolean;
}

interface OvfDisk {
  readonly diskId: string | undefined;
  /** Undefined for a disk that starts empty. */
  readonly file: OvfFile | undefined;
  /** It refers to a file that the OVF does not list. */
  readonly dangling?: boolean | undefined;
  /** Virtual size in bytes. Undefined too if it is odd, or refers to a property ("${size}") that the user is asked for. */
  readonly capacity?: number | undefined;
  /** A URI that names the format. */
  readonly format?: string | undefined;
  /** The diskId of the parent, if this disk holds only the changes against it. */
  readonly parentRef?: string | undefined;
}

export interface Ovf {
  readonly disks: readonly OvfDisk[];
  readonly files: readonly OvfFile[];
}

/** A fault of the descriptor that no disk depends on. */
type Odd = (element: XmlElement, message: string) => void;

/** Throws OVF_XML, also for a descriptor over MAX_OVF_BYTES, and OVF_HREF. `member` is its name in the archive, for errors. */
export function readOvf(bytes: Uint8Array, member: string, warn: OnWarning): Ovf {
  if (bytes.length > MAX_OVF_BYTES) {
    throw new VdiStreamError('OVF_XML', `the OVF has ${bytes.length} bytes, more than the limit of ${MAX_OVF_BYTES}`, { member });
  }
  const odd: Odd = (element, message) => warn({ code: 'OVF_ODD', message, member, offset: element.error('OVF_XML', message).offset });
  const files: OvfFile[] = [];
  const disks: { readonly element: XmlElement; readonly disk: Omit<OvfDisk, 'file' | 'dangling'> }[] = [];
  let diskSection = false;

  readXml(bytes, { member, root: 'Envelope', warn }, (element) => {
    switch (element.path) {
      case 'Envelope/References/File': {
        const file = readFile(element, odd);
        if (files.length >= MAX_ENTRIES) throw element.error('OVF_XML', `the OVF lists more than ${MAX_ENTRIES} files`);
        if (files.some(({ id, href }) => id !== undefined && id === file.id && href !== file.href)) {
          odd(element, `two files of the OVF have the ID ${quote(file.id ?? '')}`);
        }
        files.push(file);
        break;
      }
      case 'Envelope/Section':
        diskSection = element.attribute('type')?.includes('DiskSection') === true;
        break;
      case 'Envelope/DiskSection/Disk':
      case 'Envelope/Section/Disk': {
        if (element.path === 'Envelope/Section/Disk' && !diskSection) break;
        if (disks.length >= MAX_ENTRIES) throw element.error('OVF_XML', `the OVF lists more than ${MAX_ENTRIES} disks`);
        disks.push({ element, disk: readDisk(element, odd) });
        break;
      }
    }
  });
  const fileOf = filesById(files);
  const ids = new Set<string>();
  // Only now, since the files need not come before the disks.
  const resolved = disks.map(({ element, disk }) => {
    if (disk.diskId !== undefined && ids.has(disk.diskId)) odd(element, `two disks of the OVF have the ID ${quote(disk.diskId)}`);
    ids.add(disk.diskId ?? '');
    const fileRef = element.attribute('fileRef');
    const file = fileRef === undefined ? undefined : fileOf(fileRef, element, odd);
    return { ...disk, file, dangling: fileRef !== undefined && file === undefined ? true : undefined };
  });
  return { disks: resolved, files };
}

type FileOf = (id: string, element: XmlElement, odd: Odd) => OvfFile | undefined;

/** The file with an ID. If several have it, the only one that is a disk by its name; throws OVF_XML if there is none, or more. */
function filesById(files: readonly OvfFile[]): FileOf {
  const byId = new Map<string | undefined, OvfFile[]>();
  for (const file of files) {
    const others = byId.get(file.id) ?? [];
    if (others.every(({ href }) => href !== file.href)) byId.set(file.id, [...others, file]);
  }
  return (id, element, odd) => {
    const [first, ...others] = byId.get(id) ?? [];
    if (first === undefined) odd(element, `a disk refers to the file ${quote(id)}, which the OVF does not list`);
    if (first === undefined || others.length === 0) return first;
    const several = `${others.length + 1} files of the OVF have the ID ${quote(id)}`;
    const [disk, ...more] = [first, ...others].filter(({ href }) => isVhdName(href) || isRawName(href));
    if (disk === undefined || more.length > 0) throw element.error('OVF_XML', `${several}, to which a disk refers`);
    return disk;
  };
}

function readFile(element: XmlElement, odd: Odd): OvfFile {
  const id = element.attribute('id');
  if (id === undefined) odd(element, `${element.path} has no id`);
  return {
    id,
    href: readHref(element),
    size: readNumber(element, 'size', odd),
    compression: element.attribute('compression'),
    chunked: element.attribute('chunkSize') !== undefined,
  };
}

function readDisk(element: XmlElement, odd: Odd): Omit<OvfDisk, 'file' | 'dangling'> {
  const diskId = element.attribute('diskId');
  if (diskId === undefined) odd(element, `${element.path} has no diskId`);
  return {
    diskId,
    capacity: readCapacity(element, odd),
    format: element.attribute('format'),
    parentRef: element.attribute('parentRef'),
  };
}

/** Checked both as written and decoded, so that "%2e%2e/" and "http%3a//" do not get past. */
function readHref(element: XmlElement): string {
  const written = element.attribute('href');
  if (written === undefined) throw element.error('OVF_XML', `${element.path} has no href`);
  const decoded = percentDecoded(written);
  for (const href of [written, decoded]) {
    const wrong = wrongWithHref(href);
    if (wrong !== undefined) throw element.error('OVF_HREF', `the href ${quote(written)} ${wrong}`);
  }
  return plainName(decoded);
}

function wrongWithHref(href: string): string | undefined {
  // RFC 3986; also matches the drive of a Windows path.
  if (/^[a-z][a-z0-9+.-]*:/i.test(href)) return 'is a URL, not the name of a member';
  if (/^[\\/]/.test(href)) return 'is absolute, not the name of a member';
  if (href.split(/[\\/]/).includes('..')) return 'points outside the archive';
  if (/\p{Cc}/u.test(href)) return 'contains control characters';
  return plainName(href) === '' ? 'is empty' : undefined;
}

/** Some producers do not encode, and leave a bare "%" in names. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readCapacity(element: XmlElement, odd: Odd): number | undefined {
  const written = element.attribute('capacity');
  if (written !== undefined && /^\$\{.*\}$/.test(written)) return undefined;
  const units = element.attribute('capacityAllocationUnits') ?? 'byte';
  const factor = unitFactor(units);
  if (factor === undefined) odd(element, `a capacity has an unknown unit: ${quote(units)}`);
  const capacity = readNumber(element, 'capacity', odd);
  if (capacity === undefined || factor === undefined) return undefined;
  // Also NaN, as from 0 times a factor that overflows to Infinity.
  if (Number.isSafeInteger(capacity * factor)) return capacity * factor;
  odd(element, `a capacity of ${capacity} * ${factor} bytes is too large`);
  return undefined;
}

function readNumber(element: XmlElement, name: 'size' | 'capacity', odd: Odd): number | undefined {
  const written = element.attribute(name);
  if (written === undefined) return undefined;
  const digits = written.trim();
  if (/^\d+$/.test(digits) && Number(digits) <= Number.MAX_SAFE_INTEGER) return Number(digits);
  odd(element, `the ${name} ${quote(written)} is invalid`);
  return undefined;
}

/** Units from before OVF 1.0. They are powers of two: DSP0004, the mapping of old units to programmatic ones. */
const OLD_UNITS: Readonly<Record<string, number>> = { bytes: 1, kilobytes: KiB, megabytes: MiB, gigabytes: GiB };

/** Bytes of a programmatic unit (DSP0004): "byte", then any number of "* 1024" or "* 2^10"; undefined for other units. */
function unitFactor(units: string): number | undefined {
  const [base = '', ...factors] = units.toLowerCase().replace(/\s+/g, '').split('*');
  const old = Object.hasOwn(OLD_UNITS, base) ? OLD_UNITS[base] : undefined;
  let factor = base === 'byte' ? 1 : old;
  for (const text of factors) {
    const [, number, exponent] = /^(\d{1,15})(?:\^(\d{1,2}))?$/.exec(text) ?? [];
    if (number === undefined || factor === undefined) return undefined;
    factor *= Number(number) ** Number(exponent ?? 1);
  }
  return factor;
}
