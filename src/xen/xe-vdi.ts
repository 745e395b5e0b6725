/** VDIs and their tags through xe. */

import { VdiStreamError } from '../errors.ts';
import { confirmResult } from './confirm.ts';
import type { NewVdi, StoredVdi, VdiFacts } from './toolstack.ts';
import { isUuid } from './uuid.ts';
import type { Xe } from './xe.ts';
import { confirmDone, exists } from './xe-confirm.ts';
import { parseMap, printedUuid } from './xe-output.ts';

/**
 * Besides the name, vdi-create can only set tags: it accepts neither other-config nor a description (xen-api:
 * ocaml/xapi-cli-server/cli_frontend.ml).
 */
export async function createVdi(xe: Xe, { sr, name, size, raw }: NewVdi, tag: string, signal: AbortSignal | undefined): Promise<string> {
  const creating = xe.run(
    'vdi-create',
    {
      'sr-uuid': sr,
      'name-label': name,
      'virtual-size': size,
      type: 'user',
      [`tags:${tag}`]: '',
      ...(raw ? { 'sm-config:type': 'raw' } : {}),
    },
    signal,
  );
  // If another VDI has the tag as well, somebody has copied it, and which one was created is not certain.
  const find = async (): Promise<string | undefined> => {
    const [found, ...more] = await tagged(xe, tag);
    return more.length === 0 ? found : undefined;
  };
  return printedUuid('vdi-create', await confirmResult(creating, find));
}

export async function vdiSize(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<number> {
  const printed = await xe.run('vdi-param-get', { uuid: vdi, 'param-name': 'virtual-size' }, signal);
  const size = Number(printed);
  if (/^\d+$/.test(printed) && Number.isSafeInteger(size)) return size;
  throw new VdiStreamError('XE_FAILED', `the virtual-size of VDI ${vdi} is ${JSON.stringify(printed)}`);
}

export async function storedVdi(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<StoredVdi> {
  const sr = printedUuid('vdi-param-get', await xe.run('vdi-param-get', { uuid: vdi, 'param-name': 'sr-uuid' }, signal));
  return { uuid: vdi, sr, size: await vdiSize(xe, vdi, signal), raw: await isRaw(xe, vdi, signal) };
}

/** As the storage manager records it: `aio` is raw (sm: VDI_TYPE_RAW in drivers/vhdutil.py). */
export async function isRaw(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<boolean> {
  const [printed = ''] = await xe.list('vdi-list', { uuid: vdi, params: 'sm-config' }, signal);
  return parseMap(printed).get('vdi_type') === 'aio';
}

/** One command for each field: no other output of xe is safe from what a name contains. */
export async function vdiFacts(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<VdiFacts> {
  const get = (field: string): Promise<string> => xe.run('vdi-param-get', { uuid: vdi, 'param-name': field }, signal);
  const facts = {
    sr: await get('sr-uuid'),
    name: await get('name-label'),
    type: await get('type'),
    size: Number(await get('virtual-size')),
  };
  const relations: string[] = [];
  if ((await get('managed')) !== 'true') relations.push('it is the hidden parent of other VDIs');
  if ((await get('is-a-snapshot')) !== 'false') relations.push('it is a snapshot');
  if (isUuid(await get('snapshot-of'))) relations.push('it is a snapshot of another VDI');
  if ((await get('snapshots')) !== '') relations.push('it has snapshots');
  for (const config of ['sm-config', 'other-config']) {
    if (parseMap(await get(config)).has('vhd-parent')) relations.push(`it shares a parent with other VDIs (vhd-parent in ${config})`);
  }
  return { ...facts, relations };
}

export async function untag(xe: Xe, vdi: string, tag: string): Promise<void> {
  const removing = xe.run('vdi-param-remove', { uuid: vdi, 'param-name': 'tags', 'param-key': tag });
  await confirmDone('vdi-param-remove', removing, async () => (await exists(xe, 'vdi', vdi)) && !(await tagged(xe, tag)).includes(vdi));
}

/** xe prints one value per VDI, its tags joined with commas (xen-api: ocaml/xapi-cli-server/records.ml). */
export async function listTags(xe: Xe, sr: string | undefined, signal: AbortSignal | undefined): Promise<string[]> {
  const joined = await xe.list('vdi-list', { ...on(sr), params: 'tags' }, signal);
  return joined.flatMap((tags) => tags.split(', '));
}

export async function tagsOf(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<string[]> {
  const joined = await xe.list('vdi-list', { uuid: vdi, params: 'tags' }, signal);
  return joined.flatMap((tags) => tags.split(', '));
}

export const listTagged = async (xe: Xe, tag: string, sr?: string, signal?: AbortSignal): Promise<string[]> =>
  (await tagged(xe, tag, sr, signal)).filter(isUuid);

const tagged = (xe: Xe, tag: string, sr?: string, signal?: AbortSignal): Promise<string[]> =>
  xe.list('vdi-list', { ...on(sr), 'tags:contains': tag }, signal);

const on = (sr: string | undefined): Readonly<Record<string, string>> => (sr === undefined ? {} : { 'sr-uuid': sr });
