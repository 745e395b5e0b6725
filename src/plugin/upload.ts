/** Upload: from a VDI to an image of the service, flattened, as the only member `0.vhd` of a tar.gz. */

import { VdiStreamError } from '../errors.ts';
import { attributeHeaders, checkImageId, imageAddress } from '../glance/record.ts';
import { checkHeaders, redactUrl } from '../http/url.ts';
import { MAX_VHD } from '../vhd/encode.ts';
import { isUuid } from '../xen/uuid.ts';
import { type Arguments, required, wrong } from './arguments.ts';
import type { PickleValue } from './pickle-read.ts';
import { UploadFailure } from './upload-failure.ts';
import type { GlanceAccess, Work, Workers } from './work.ts';

/** What Nova sends as the image: a VHD in a tar, whatever it is compressed with. */
export const NOVA_IMAGE = { diskFormat: 'vhd', containerFormat: 'ovf', visibility: 'private' } as const;

/** In 2012, `vdi_uuids` was a dict with these keys, of which the first is the leaf; since then it is a list, leaf first. */
const LAYERS = ['snap', 'image', 'base'];

/** Makes one attempt: Nova itself calls again, with another endpoint. */
export async function uploadVhd(workers: Workers, args: Arguments, where: GlanceAccess, work: Work): Promise<PickleValue> {
  const { signal, onWarning, log } = work;
  const image = required('image_id', args.text('image_id'));
  checkImageId(image);
  const address = redactUrl(imageAddress(where.endpoints[0], where.version, image));
  const { properties, level } = propertiesOf(args);
  // Now, because version 1 sends them with the image.
  if (where.version === 1) checkHeaders(attributeHeaders({ ...NOVA_IMAGE, properties }));
  const [leaf, ...others] = required('vdi_uuids', args.list('vdi_uuids', LAYERS)).map(uuidOf);
  if (leaf === undefined) throw wrong('Argument vdi_uuids is empty.');
  log.start({ image, vdi: leaf, endpoint: redactUrl(where.endpoints[0]) });

  const { sr, size } = await workers.exportedVdi(leaf, others, signal);
  log.add({ sr });
  if (size > MAX_VHD) {
    throw new VdiStreamError('EXPORT_SIZE', `VDI ${leaf} has ${size} bytes, but a VHD holds at most ${MAX_VHD}`);
  }
  try {
    const { bytesWritten } = await workers.uploadVdi(leaf, image, { where, properties, level, signal, onWarning });
    log.add({ bytes: bytesWritten });
  } catch (error) {
    throw UploadFailure.of(error, image, address);
  }
  return null;
}

function uuidOf(given: string): string {
  const uuid = given.toLowerCase();
  if (isUuid(uuid)) return uuid;
  throw new VdiStreamError('XE_UUID', 'a value of the argument vdi_uuids is not a uuid, so it is that of no VDI');
}

interface Properties {
  readonly properties: Readonly<Record<string, string>>;
  readonly level: number | undefined;
}

const LEVEL = 'xenapi_image_compression_level';

/** Nova's plugin sends them all, also the level, and the values as Python's `str()` has them. */
function propertiesOf(args: Arguments): Properties {
  const given = Object.entries(args.dict('properties') ?? {});
  const properties = Object.fromEntries(given.map(([name, value]) => [nameOf(name), textOf(value)]));
  const level = Number(properties[LEVEL]);
  return { properties, level: Number.isInteger(level) && level >= 1 && level <= 9 ? level : undefined };
}

function nameOf(name: string): string {
  if (/^[\w.:-]{1,255}$/.test(name)) return name;
  throw wrong('Argument properties has a name with characters other than letters, digits and ".:_-".');
}

function textOf(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw wrong('Argument properties must have strings, numbers and booleans as values.');
}
