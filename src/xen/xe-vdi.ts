/** VDIs and their tags through xe. */

import { VdiStreamError } from '../errors.ts';
import type { NewVdi } from './toolstack.ts';
import { isUuid } from './uuid.ts';
import type { Xe } from './xe.ts';
import { confirmDone, confirmResult, exists } from './xe-confirm.ts';
import { printedUuid } from './xe-output.ts';

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
  return printedUuid('vdi-create', await confirmResult(creating, async () => (await tagged(xe, tag))[0]));
}

export async function vdiSize(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<number> {
  const printed = await xe.run('vdi-param-get', { uuid: vdi, 'param-name': 'virtual-size' }, signal);
  const size = Number(printed);
  if (/^\d+$/.test(printed) && Number.isSafeInteger(size)) return size;
  throw new VdiStreamError('XE_FAILED', `VDI ${vdi} was created, but its virtual-size is ${JSON.stringify(printed)}`);
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

export const listTagged = async (xe: Xe, tag: string, sr?: string, signal?: AbortSignal): Promise<string[]> =>
  (await tagged(xe, tag, sr, signal)).filter(isUuid);

const tagged = (xe: Xe, tag: string, sr?: string, signal?: AbortSignal): Promise<string[]> =>
  xe.list('vdi-list', { ...on(sr), 'tags:contains': tag }, signal);

const on = (sr: string | undefined): Readonly<Record<string, string>> => (sr === undefined ? {} : { 'sr-uuid': sr });
