/** A real glance-api: with a database and a store of its own, on loopback, without authentication (package python3-glance). */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

export interface Format {
  readonly disk_format: string;
  readonly container_format: string;
}

export interface Glance {
  readonly endpoint: string;
  /** An image without bytes, in the status `queued`; resolves with its id. */
  create(format?: Format): Promise<string>;
  /** `image`: bytes, or the path of a file. Resolves with the id. */
  upload(image: Uint8Array | string, format?: Format): Promise<string>;
  deactivate(id: string): Promise<void>;
  /** Deletes the image. */
  remove(id: string): Promise<void>;
  /** Its record; undefined if there is none. */
  record(id: string): Promise<Record<string, unknown> | undefined>;
  /** Its bytes, fetched by a plain client. */
  data(id: string): Promise<Buffer>;
  /** Deletes the bytes from the store without its knowledge. */
  lose(id: string): void;
  /** Truncates the bytes in the store without its knowledge. */
  shorten(id: string, bytes: number): void;
  stop(): Promise<void>;
}

/** What Nova's plugin uploads. */
const NOVA: Format = { disk_format: 'vhd', container_format: 'ovf' };

/** The distribution's own, whatever comes before it in the PATH. */
const PYTHON = '/usr/bin/python3';

/** Glance replaces port 0 by its default port, so this makes the kernel choose one. It dies with the thread that started it. */
const LAUNCHER = `
import ctypes
ctypes.CDLL(None).prctl(1, 9)
from glance.cmd import api
from glance.common import wsgi
wsgi.get_bind_addr = lambda default_port=None: ('127.0.0.1', 0)
api.main()
`;

const PASTE = `
[pipeline:glance-api]
pipeline = unauthenticated root
[pipeline:glance-api-keystone]
pipeline = authtoken context root
[filter:unauthenticated]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[composite:root]
paste.composite_factory = glance.api:root_app_factory
/v2 = v2
[app:v2]
paste.app_factory = glance.api.v2.router:API.factory
`;

interface Setup {
  /** Folders of stores by their names; the first is the default. Without them, there is one store, which has no name. */
  readonly stores?: Readonly<Record<string, string>>;
  /** Without it, nobody has to log in. */
  readonly identity?: { readonly url: string; readonly user: string; readonly password: string };
}

const config = (folder: string, settings: string, setup: Setup): string => `
[DEFAULT]
${settings}
workers = 0
log_color = false
${setup.stores === undefined ? `node_staging_uri = file://${folder}/staging` : ''}
${setup.stores === undefined ? '' : `enabled_backends = ${Object.keys(setup.stores).map((name) => `${name}:file`)}`}
[database]
connection = sqlite:///${folder}/glance.sqlite
${setup.stores === undefined ? oneStore(folder) : namedStores(folder, setup.stores)}
[paste_deploy]
config_file = ${folder}/paste.ini
${setup.identity === undefined ? '' : login(setup.identity)}
`;

const oneStore = (folder: string): string => `[glance_store]
stores = file
default_store = file
filesystem_store_datadir = ${folder}/images`;

const namedStores = (folder: string, stores: Readonly<Record<string, string>>): string => `[glance_store]
default_backend = ${Object.keys(stores)[0]}
${Object.entries({ ...stores, os_glance_staging_store: `${folder}/staging`, os_glance_tasks_store: `${folder}/tasks` })
  .map(([name, path]) => `[${name}]\nfilesystem_store_datadir = ${path}`)
  .join('\n')}`;

/** Asks for every token anew. */
const login = ({ url, user, password }: Required<Setup>['identity']): string => `flavor = keystone
[keystone_authtoken]
auth_url = ${url}
auth_type = password
username = ${user}
password = ${password}
user_domain_name = Default
project_name = service
project_domain_name = Default
token_cache_time = -1
`;

/** Root may write to any folder, unless it gives up that capability. */
const withoutOverride = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];

/** `settings`: lines for the section DEFAULT of its configuration. */
export async function startGlance(settings = '', setup: Setup = {}): Promise<Glance> {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-glance-'));
  let server: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const name of ['images', 'staging', 'tasks']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'paste.ini'), PASTE);
    writeFileSync(join(folder, 'glance.conf'), config(folder, settings, setup));
    const options = ['--config-file', join(folder, 'glance.conf')];
    await promisify(execFile)(PYTHON, ['-m', 'glance.cmd.manage', ...options, 'db_sync']);
    const [program = PYTHON, ...args] = [...withoutOverride, PYTHON, '-c', LAUNCHER, ...options];
    server = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const endpoint = await addressOf(server);
    const fileOf = (id: string): string => join(folder, 'images', id);
    return {
      endpoint,
      ...callsOf(endpoint),
      lose: (id) => rmSync(fileOf(id)),
      shorten: (id, bytes) => truncateSync(fileOf(id), bytes),
      stop,
    };
  } catch (cause) {
    await stop();
    throw new Error('glance-api does not start (package python3-glance)', { cause });
  }
}

/** Resolves once it listens; its log says where. Its later output is read too, or it would block. */
function addressOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const log: string[] = [];
    for (const stream of [server.stdout, server.stderr]) {
      if (stream === null) continue;
      createInterface(stream).on('line', (line) => {
        log.push(line);
        const [, address] = /wsgi starting up on (http:\/\/[\d.]+:\d+)/.exec(line) ?? [];
        if (address !== undefined) resolve(address);
      });
    }
    server.once('error', reject);
    server.once('close', () => reject(new Error(log.join('\n'))));
  });
}

function callsOf(endpoint: string): Omit<Glance, 'endpoint' | 'lose' | 'shorten' | 'stop'> {
  async function call(method: string, path: string, type: string, body: Uint8Array | string): Promise<unknown> {
    const answer = await fetch(`${endpoint}/v2/images${path}`, { method, headers: { 'content-type': type }, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  async function create(format = NOVA): Promise<string> {
    const image = await call('POST', '', 'application/json', JSON.stringify(format));
    if (typeof image !== 'object' || image === null || !('id' in image)) throw new Error('glance has made no image');
    return String(image.id);
  }

  return {
    create,
    async upload(image, format) {
      const id = await create(format);
      await call('PUT', `/${id}/file`, 'application/octet-stream', typeof image === 'string' ? readFileSync(image) : image);
      return id;
    },
    async remove(id) {
      await call('DELETE', `/${id}`, 'application/json', '');
    },
    async record(id) {
      const answer = await fetch(`${endpoint}/v2/images/${id}`);
      return answer.status === 200 ? Object(await answer.json()) : undefined;
    },
    async data(id) {
      return Buffer.from(await (await fetch(`${endpoint}/v2/images/${id}/file`)).arrayBuffer());
    },
    async deactivate(id) {
      await call('POST', `/${id}/actions/deactivate`, 'application/json', '');
    },
  };
}
