/** The disks of an export: devices, raw files and VHD chains, opened for reading at any place. */

import { checkOpenedDisk } from '../arguments.ts';
import { compressionOf } from '../codec/compression.ts';
import { otherFormat } from '../disk/other-formats.ts';
import { closeDisks, type DiskOpener, type ReadableDisk } from '../disk/readable.ts';
import { afterCleanUp, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { isTarHeader, TAR_BLOCK } from '../ova/header.ts';
import { isRawName, MAX_LAYERS } from '../ova/select.ts';
import { deviceDisk } from '../source/device-disk.ts';
import { openReadableFile, type ReadableFile } from '../source/readable-file.ts';
import { lookAtEnd } from '../vhd/end.ts';
import { hasCookie } from '../vhd/footer.ts';
import { isOverRaw } from '../vhd/links.ts';
import type { OnWarning } from '../warnings.ts';
import { type FileLayer, openVhdLayer, rawLayer } from './file-layer.ts';
import { readableChain } from './readable-chain.ts';

interface DisksOptions {
  /** Everything is raw, whatever it begins with. */
  readonly raw: boolean;
  /** What is no VHD, after a differencing one, is its parent. */
  readonly rawBase: boolean;
  /** Accept parents with any unique ID. */
  readonly anyParent: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning: OnWarning;
}

type Given = string | DiskOpener;

/**
 * A path leads to a VHD or to a raw disk. A differencing VHD and the sources after it, until the first VHD without a parent, are one disk.
 * The caller closes the disks. Throws SOURCE_OPEN, DISK_EMPTY, EXPORT_IMAGE, what `decodeVhd` throws, and CHAIN_….
 */
export async function openDisks(sources: readonly Given[], options: DisksOptions): Promise<ReadableDisk[]> {
  const { raw, signal, onWarning } = options;
  const disks: ReadableDisk[] = [];
  try {
    for (let index = 0; index < sources.length; ) {
      throwIfCancelled(signal);
      const layers = raw ? [] : await openLayers(sources.slice(index), options);
      disks.push(layers.length > 0 ? await openChain(layers, options) : await openRaw(sources[index], { signal, onWarning }));
      index += Math.max(1, layers.length);
    }
    return disks;
  } catch (error) {
    throw await afterCleanUp(error, () => closeDisks(disks));
  }
}

/** The layers at the start of `sources` that are one disk, as far as their types say; none if the first is not a VHD. */
async function openLayers(sources: readonly Given[], { rawBase, signal, onWarning }: DisksOptions): Promise<FileLayer[]> {
  const layers: FileLayer[] = [];
  try {
    for (const source of sources) {
      throwIfCancelled(signal);
      const child = layers.at(-1);
      const mayBeRaw = child !== undefined && (rawBase || isOverRaw(child.facts) || isRawName(String(source)));
      const layer = typeof source === 'string' ? await layerAt(source, mayBeRaw, onWarning) : undefined;
      if (layer !== undefined) layers.push(layer);
      if (layers.length > MAX_LAYERS) throw new VdiStreamError('CHAIN_DEEP', `a chain of more than ${MAX_LAYERS} layers`);
      if (layer?.facts.type !== 'differencing') break;
    }
    return layers;
  } catch (error) {
    for (const { file } of layers) await file.close();
    throw error;
  }
}

async function openChain(layers: readonly FileLayer[], { anyParent, onWarning: warn }: DisksOptions): Promise<ReadableDisk> {
  try {
    return readableChain(layers, { anyParent, warn });
  } catch (error) {
    for (const { file } of layers) await file.close();
    throw error;
  }
}

/** Undefined if this is a raw disk of its own. */
async function layerAt(path: string, mayBeRaw: boolean, warn: OnWarning): Promise<FileLayer | undefined> {
  const file = await openReadableFile(path);
  let layer: FileLayer | undefined;
  try {
    const front = await file.cursor().peek(TAR_BLOCK);
    if (hasCookie(front) || (await endsInFooter(file))) layer = await openVhdLayer(file, warn);
    else {
      if (file.kind === 'file') refuseImage(path, front);
      if (mayBeRaw) layer = rawLayer(file);
    }
    return layer;
  } finally {
    if (layer === undefined) await file.close();
  }
}

/** A device has whatever its last user left at its end. */
const endsInFooter = async (file: ReadableFile): Promise<boolean> =>
  file.kind === 'file' && hasCookie((await lookAtEnd(file.cursor()))?.bytes ?? new Uint8Array(0));

/** Throws EXPORT_IMAGE, and VHD_FOOTER for a file that only its name calls a VHD: a fixed one that was cut would pass for a raw disk. */
function refuseImage(path: string, front: Uint8Array): void {
  const what = imageIn(front);
  if (what !== undefined) {
    throw new VdiStreamError('EXPORT_IMAGE', `${path} is ${what}, not a disk: use \`vdistream write\` first, or --raw`, { device: path });
  }
  if (front.length > 0 && /\.a?vhd$/i.test(path)) {
    throw new VdiStreamError('VHD_FOOTER', 'no VHD footer, neither at the start nor at the end; if this is a raw disk, use --raw', {
      member: path,
      offset: 0,
    });
  }
}

/** By its first bytes, which a raw disk has none of. */
function imageIn(front: Uint8Array): string | undefined {
  if (front.length === TAR_BLOCK && isTarHeader(front)) return 'a tar archive';
  return otherFormat(front)?.what ?? (isCompressed(front) ? 'compressed' : undefined);
}

function isCompressed(front: Uint8Array): boolean {
  try {
    return compressionOf(front) !== 'none';
  } catch {
    return true; // bzip2 or lz4
  }
}

async function openRaw(source: Given | undefined, options: Parameters<DiskOpener['open']>[0]): Promise<ReadableDisk> {
  if (source === undefined) throw new VdiStreamError('USAGE', 'no disk given');
  const opener = typeof source === 'string' ? deviceDisk(source) : source;
  const disk = await opener.open(options);
  checkOpenedDisk(opener.name, disk);
  return disk;
}
