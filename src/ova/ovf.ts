/**
 * The OVF descriptor: the files of an appliance, and which of them are its disks (DMTF DSP0243).
 *
 *   Envelope
 *     References    File  id, href, size, compression, chunkSize
 *     DiskSection   Disk  diskId, fileRef, capacity, capacityAllocationUnits, format, parentRef
 *
 * Before 1.0 the section was <Section xsi:type="ovf:DiskSection_Type">. Producers differ in namespace and prefixes, so only local names are
 * compared. An href is only compared with the names of members, and never opened.
 */

import { GiB, KiB, MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import { plainName } from './select.ts';
import { readXml, type XmlElement } from './xml.ts';

/** The largest descriptor that is read. Real ones have some tens of KiB, or more with licence texts. */
export const MAX_OVF_BYTES = 4 * MiB;
const MAX_ENTRIES = 4096;

interface OvfFile {
  readonly id: string;
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
  readonly diskId: string;
  /** Undefined for a disk that starts empty. */
  readonly file: OvfFile | undefined;
  /** Virtual size in bytes. Undefined too if it refers to a property ("${size}") that the user is asked for. */
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

/** Throws OVF_XML, also for a descriptor over MAX_OVF_BYTES, and OVF_HREF. `member` is its name in the archive, for errors. */
export function readOvf(bytes: Uint8Array, member: string): Ovf {
  if (bytes.length > MAX_OVF_BYTES) {
    throw new VdiStreamError('OVF_XML', `the OVF has ${bytes.length} bytes, more than the limit of ${MAX_OVF_BYTES}`, { member });
  }
  const files = new Map<string, OvfFile>();
  const disks = new Map<string, { readonly element: XmlElement; readonly disk: Omit<OvfDisk, 'file'> }>();
  let diskSection = false;

  readXml(bytes, member, 'Envelope', (element) => {
    switch (element.path) {
      case 'Envelope/References/File': {
        const file = readFile(element);
        if (files.has(file.id)) throw element.error('OVF_XML', `two files of the OVF have the ID ${quote(file.id)}`);
        if (files.size >= MAX_ENTRIES) throw element.error('OVF_XML', `the OVF lists more than ${MAX_ENTRIES} files`);
        files.set(file.id, file);
        break;
      }
      case 'Envelope/Section':
        diskSection = element.attribute('type')?.includes('DiskSection') === true;
        break;
      case 'Envelope/DiskSection/Disk':
      case 'Envelope/Section/Disk': {
        if (element.path === 'Envelope/Section/Disk' && !diskSection) break;
        const disk = readDisk(element);
        if (disks.has(disk.diskId)) throw element.error('OVF_XML', `two disks of the OVF have the ID ${quote(disk.diskId)}`);
        if (disks.size >= MAX_ENTRIES) throw element.error('OVF_XML', `the OVF lists more than ${MAX_ENTRIES} disks`);
        disks.set(disk.diskId, { element, disk });
        break;
      }
    }
  });

  // Only now, since the files need not come before the disks.
  const resolved = [...disks.values()].map(({ element, disk }) => {
    const fileRef = element.attribute('fileRef');
    const file = fileRef === undefined ? undefined : files.get(fileRef);
    if (fileRef !== undefined && file === undefined) {
      throw element.error('OVF_XML', `disk ${quote(disk.diskId)} refers to the file ${quote(fileRef)}, which the OVF does not list`);
    }
    return { ...disk, file };
  });
  return { disks: resolved, files: [...files.values()] };
}

function readFile(element: XmlElement): OvfFile {
  return {
    id: requiredAttribute(element, 'id'),
    href: readHref(element),
    size: readNumber(element, 'size', element.attribute('size')),
    compression: element.attribute('compression'),
    chunked: element.attribute('chunkSize') !== undefined,
  };
}

function readDisk(element: XmlElement): Omit<OvfDisk, 'file'> {
  return {
    diskId: requiredAttribute(element, 'diskId'),
    capacity: readCapacity(element),
    format: element.attribute('format'),
    parentRef: element.attribute('parentRef'),
  };
}

function requiredAttribute(element: XmlElement, name: string): string {
  const value = element.attribute(name);
  if (value === undefined) throw element.error('OVF_XML', `${element.path} has no ${name}`);
  return value;
}

/** Checked both as written and decoded, so that "%2e%2e/" and "http%3a//" do not get past. */
function readHref(element: XmlElement): string {
  const written = requiredAttribute(element, 'href');
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

function readCapacity(element: XmlElement): number | undefined {
  const written = element.attribute('capacity');
  if (written !== undefined && /^\$\{.*\}$/.test(written)) return undefined;
  const units = element.attribute('capacityAllocationUnits') ?? 'byte';
  const factor = unitFactor(units);
  if (factor === undefined) throw element.error('OVF_XML', `a capacity has an unknown unit: ${quote(units)}`);
  const capacity = readNumber(element, 'capacity', written);
  if (capacity === undefined) return undefined;
  // Also rejects NaN, as from 0 times a factor that overflows to Infinity.
  if (!Number.isSafeInteger(capacity * factor)) throw element.error('OVF_XML', `a capacity of ${capacity} * ${factor} bytes is too large`);
  return capacity * factor;
}

function readNumber(element: XmlElement, name: string, written: string | undefined): number | undefined {
  if (written === undefined) return undefined;
  const digits = written.trim();
  if (!/^\d+$/.test(digits) || Number(digits) > Number.MAX_SAFE_INTEGER) {
    throw element.error('OVF_XML', `the ${name} ${quote(written)} is invalid`);
  }
  return Number(digits);
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
