/**
 * Cache: whole images, as stored at their source, under their digest. An entry is never trusted: it is hashed again on every use, so it may
 * be damaged or removed at any time. The folder must be on a local file system, because the locks work between processes of one host only.
 */

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { checkOpener, checkOptions } from '../arguments.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { isOwn } from '../host/user.ts';
import type { OnWarning } from '../warnings.ts';
import { addEntry, evict, isKey, makeRoom, openEntry, removeEntry, touch } from './entries.ts';
import { removeDeadLocks, withEntryLock } from './entry-lock.ts';
import { fileCursor } from './file.ts';
import type { Digest, Opener, Source, SourceIdentity } from './source.ts';
import { copySource, fetchAnew, fetchInto, fetchUnnamed, type ImageStore, type RemoteImage, storeError } from './staged-image.ts';
import { partFile, prepareFolder, removeFile } from './staging.ts';
import { digestsOf, wrongSum } from './stream.ts';

export interface CacheOptions {
  readonly folder: string;
  /** Maximum bytes of all images together. */
  readonly size: number;
}

/**
 * Keeps images by checksum in `folder`, up to `size` bytes in total, and evicts the least recently used first. An image without a known
 * checksum, or larger than `size`, is only staged there. Warns (LOCK_WAIT) while another process of this user fetches the same image.
 * Opening throws CACHE, USAGE, CANCELLED, SOURCE_CHECKSUM, LOCK_TIMEOUT, NATIVE_MISSING, and the errors of describing, opening
 * and reading `from`.
 */
export function cachedImage(from: Opener, options: CacheOptions): Opener {
  checkOpener('cachedImage', from);
  checkOptions('cachedImage', options);
  const { folder, size } = options;
  const { name } = from;
  const store: ImageStore = { folder, code: 'CACHE', makeRoom: (length) => makeRoom(folder, length) };
  return {
    name,
    async open({ sha256, signal, onWarning, onRead }) {
      const asked = { sha256, signal, onWarning, onRead };
      const { digest, length, ...described } = (await from.describe?.(asked)) ?? {};
      // The source's own digest first: everyone who requests this image gets the same one.
      const keys = digestsOf(sha256, digest).reverse().filter(isKey);
      let { identity }: { identity?: SourceIdentity | undefined } = described;
      let isFetched = false;
      const open = async (): Promise<Source> => {
        const source = await from.open(asked);
        isFetched = true;
        identity ??= source.identity;
        return source;
      };
      const image: CachedImage = { name, open, signal, onRead, onWarning, keys, length };
      const [key] = keys;
      try {
        await prepareFolder(folder);
        await removeDeadLocks(folder);
        const unkept = key === undefined || (length !== undefined && length > size);
        const copy = unkept
          ? await fetchUnnamed(image, store)
          : ((await find(image, store)) ?? (await findOrFetch(image, store, key, size)));
        // An entry has no identity of its own.
        if (identity === undefined && !isFetched) identity = await from.identify?.(asked).catch(() => undefined);
        return { ...copy, identity };
      } catch (cause) {
        throw storeError(store, cause);
      }
    },
    identify: async (asked) => from.identify?.(asked),
  };
}

interface CachedImage extends RemoteImage {
  /** All digests that the bytes must match. An entry may be named after any of them. */
  readonly keys: readonly Digest[];
  /** Bytes in the image, if known. */
  readonly length: number | undefined;
  readonly onWarning: OnWarning | undefined;
}

/** Of all processes of this user that need the same image, one fetches it. */
function findOrFetch(image: CachedImage, store: ImageStore, key: Digest, size: number): Promise<Source> {
  // Without the lock, this could remove an intact entry that another process has just put in place of the damaged one.
  const remove = (damaged: Digest): Promise<void> => removeEntry(store.folder, damaged);
  const work = async (progress: () => void): Promise<Source> => {
    const onRead: CachedImage['onRead'] = (position, total) => {
      progress();
      image.onRead?.(position, total);
    };
    return (await find({ ...image, onRead }, store, remove)) ?? (await fetchEntry(image, store, key, size, progress));
  };
  return withEntryLock(store.folder, key, work, { signal: image.signal, onWarning: image.onWarning });
}

/** The first intact entry; calls `missed` with the key of each entry that is missing or damaged. */
async function find(image: CachedImage, store: ImageStore, missed?: (key: Digest) => Promise<void>): Promise<Source | undefined> {
  for (const key of image.keys) {
    const source = await openIntact(image, store, key);
    if (source !== undefined) return source;
    await missed?.(key);
  }
  return undefined;
}

/** Undefined if the entry is missing or damaged. */
async function openIntact(image: CachedImage, store: ImageStore, key: Digest): Promise<Source | undefined> {
  const file = await openEntry(store.folder, key);
  if (file === undefined) return undefined;
  let source: Source | undefined;
  try {
    if (await isImage(file, image, key)) {
      await touch(file, store.folder);
      source = await copySource(file, image, store);
    }
    return source;
  } finally {
    if (source === undefined) await file.close();
  }
}

/** Whether the file matches its key. Throws SOURCE_CHECKSUM if it does but fails another digest of the image, and CANCELLED. */
async function isImage(file: FileHandle, { name, keys, length, signal, onRead }: CachedImage, key: Digest): Promise<boolean> {
  const found = await file.stat();
  // Another user could change the bytes after they have been checked.
  if (!found.isFile() || !isOwn(found)) return false;
  if (length !== undefined && found.size !== length) return false;
  const sums = keys.map((digest) => ({ ...digest, hash: createHash(digest.algorithm) }));
  const cursor = fileCursor(file, found.size, name, () => {});
  try {
    for await (const chunk of cursor.chunks()) {
      throwIfCancelled(signal);
      for (const { hash } of sums) hash.update(chunk);
      onRead?.(cursor.position, found.size);
    }
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof VdiStreamError) return false; // truncated while being read, or on a bad sector
    throw error;
  }
  const wrong = sums.map(({ hash, ...digest }) => ({ ...digest, found: hash.digest('hex') })).filter(({ hex, found }) => found !== hex);
  if (wrong.some(({ hex }) => hex === key.hex)) return false;
  for (const { algorithm, hex, found } of wrong) throw wrongSum(name, { algorithm, hex: found }, hex);
  return true;
}

/** Fetches the image, and makes it the entry of `key` if it has at most `size` bytes. Leaves nothing in the folder when it fails. */
function fetchEntry(image: CachedImage, store: ImageStore, key: Digest, size: number, progress: () => void): Promise<Source> {
  const { folder } = store;
  return fetchAnew(image.signal, async () => {
    const part = await partFile(folder);
    try {
      const hash = createHash(key.algorithm);
      const length = await fetchInto(part.file, image, store, (chunk) => {
        progress();
        hash.update(chunk);
      });
      const hex = hash.digest('hex');
      if (hex !== key.hex) throw wrongSum(image.name, { algorithm: key.algorithm, hex }, key.hex);
      if (length > size) await removeFile(part.path);
      else {
        await addEntry(part, folder, key);
        await evict(folder, size);
      }
      return await copySource(part.file, image, store);
    } catch (error) {
      await part.file.close();
      await removeFile(part.path).catch(() => {}); // the first error matters more
      throw error;
    }
  });
}
