/**
 * What a reader of the documentation has: a folder with the images that the pages speak of, `vdistream` on the PATH and in node_modules, a web
 * server with the same files, an image service, and where it is asked for, a Xen host or a pool.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { type Host, startHost } from '../stand-in/host.ts';
import { type Pool, startPool } from '../stand-in/pool.ts';
import { dynamicVhd } from './make-vhd.mjs';
import { IMAGE, NEW_IMAGE, serve } from './reader-service.ts';
import { TAR_END, tarMember, tarOf } from './tar.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Reader {
  readonly folder: string;
  /** Of the web server and of the image service. */
  readonly url: string;
  /** uuid of a storage repository; empty without a host. */
  readonly sr: string;
  readonly host: Host | undefined;
  /** Rejects with the output of a program that fails. */
  run(program: string, ...args: string[]): Promise<{ stdout: string; stderr: string }>;
  shell(text: string): Promise<{ stdout: string; stderr: string }>;
  /** Type-checks files of the folder as a strict project. */
  check(files: readonly string[]): Promise<void>;
  /** Nothing of it is left. */
  close(): Promise<void>;
}

interface Needs {
  readonly xen?: boolean;
  readonly remote?: boolean;
}

export async function newReader({ xen = false, remote = false }: Needs = {}): Promise<Reader> {
  const folder = makeFolder();
  const server = await serve(folder);
  let host: Host | undefined;
  let pool: Pool | undefined;
  const close = async (): Promise<void> => {
    server.close();
    await host?.stop();
    await pool?.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    host = xen ? await startHost() : undefined;
    const sr = (await host?.sr('lvm')) ?? '';
    pool = remote ? await startPool(join(folder, 'tmp')) : undefined;
    if (pool !== undefined) writeFileSync(join(folder, 'pool.pem'), pool.ca);
    const { url } = server;
    const programs = [join(folder, 'bin'), ...(host === undefined ? [] : [dirname(host.xe)]), dirname(process.execPath), process.env.PATH];
    const here = {
      PATH: programs.join(':'),
      TMPDIR: join(folder, 'tmp'),
      DEV: join(folder, 'device'),
      URL: url,
      GLANCE: url,
      IMAGE,
      NEW_IMAGE,
    };
    const env = { ...process.env, ...here, ...environmentOf(host, sr), ...environmentOfPool(pool) };
    const run = (program: string, ...args: string[]) => finished(program, args, { cwd: folder, env });
    return {
      folder,
      url,
      sr,
      host,
      run,
      shell: (text) => run('bash', '-euo', 'pipefail', '-c', text),
      async check(files) {
        const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
        const options = { ...compilerOptions, typeRoots: [join(root, 'node_modules/@types')] };
        writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files }));
        await run(process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json');
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-docs-'));
  const vhd = dynamicVhd({
    size: 8 << 20,
    blocks: new Map([
      [1, Buffer.alloc(2 << 20, 'data')],
      [3, Buffer.alloc(5000, 'more')],
    ]),
  });
  const leaf = dynamicVhd({
    size: 12 << 20,
    type: 4,
    id: 8,
    parent: { id: 7, timestamp: 0, name: 'image.vhd' },
    blocks: new Map([
      [1, Buffer.alloc(2 << 20, 'leaf')],
      [5, Buffer.alloc(5000, 'new')],
    ]),
  });
  const tar = Buffer.concat([tarMember({ name: 'image.ovf' }, Buffer.from('<Envelope/>')), tarMember({ name: '0.vhd' }, vhd)]);
  const files = {
    'image.vhd': vhd,
    'leaf.vhd': leaf,
    'chain.ova': tarOf([
      ['1.vhd', vhd],
      ['0.vhd', leaf],
    ]),
    'image.ova': Buffer.concat([tar, TAR_END]),
    'image.tar.gz': gzipSync(Buffer.concat([tar, TAR_END])),
    'unended.ova': tar,
    'headers.txt': 'X-Project: web\n',
    device: Buffer.alloc(16 << 20),
    'package.json': '{ "type": "module" }',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  for (const name of ['bin', 'tmp', 'node_modules']) mkdirSync(join(folder, name));
  symlinkSync(root, join(folder, 'node_modules', 'vdistream'));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'dist/cli/main.js')}' "$@"\n`;
  writeFileSync(join(folder, 'bin', 'vdistream'), program, { mode: 0o755 });
  return folder;
}

function environmentOf(host: Host | undefined, sr: string): NodeJS.ProcessEnv {
  if (host === undefined) return {};
  const folders = { VDISTREAM_LOCKS: join(host.folder, 'locks'), VDISTREAM_RECORDS: join(host.folder, 'records') };
  return { VDISTREAM_XE: host.xe, VDISTREAM_INVENTORY: host.inventory, ...folders, HOST: host.uuid, DOM0: host.dom0, SR: sr };
}

function environmentOfPool(pool: Pool | undefined): NodeJS.ProcessEnv {
  if (pool === undefined) return {};
  return { POOL: pool.master, POOL_SR: pool.db.addSr('ext'), PASSWORD: pool.credentials.password };
}

async function finished(program: string, args: readonly string[], options: { cwd: string; env: NodeJS.ProcessEnv }) {
  try {
    return await promisify(execFile)(program, args, options);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { stdout = '', stderr = '' } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${basename(program)}: ${error.message}\n${stdout}${stderr}`);
  }
}
