/**
 * Keystone, as far as keystonemiddleware asks it in front of Glance: the version, a token for the middleware itself, and whether the token of
 * a request is valid. Strict: any other request, or one that is not as the Identity API v3 has it, is answered as Keystone would.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

export interface Keystone {
  readonly identity: { readonly url: string; readonly user: string; readonly password: string };
  /** The token of a user, which expires after as many requests. */
  issue(requests?: number): string;
  /** What was not as the API has it. */
  readonly wrong: readonly string[];
  stop(): Promise<void>;
}

const USER = 'glance';
const PASSWORD = 'of-the-service';

export async function startKeystone(): Promise<Keystone> {
  const left = new Map<string, number>();
  const ofService = new Set<string>();
  const wrong: string[] = [];
  let number = 0;

  const answer = (response: ServerResponse, status: number, body: object, headers: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, code: number, message: string): void =>
    answer(response, code, { error: { code, message, title: message } });

  async function logIn(request: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
    const { auth } = JSON.parse(await text(request));
    const user = auth?.identity?.password?.user;
    if (auth?.identity?.methods?.[0] !== 'password' || user?.name !== USER || user?.password !== PASSWORD) {
      wrong.push('a login that is not that of the service');
      return refuse(response, 401, 'The request you have made requires authentication.');
    }
    const token = `service-${number++}`;
    ofService.add(token);
    answer(response, 201, { token: describe('glance', url) }, { 'x-subject-token': token });
  }

  function validate({ headers }: IncomingMessage, response: ServerResponse, url: string): void {
    const subject = String(headers['x-subject-token'] ?? '');
    const uses = left.get(subject) ?? 0;
    left.set(subject, uses - 1);
    if (!ofService.has(String(headers['x-auth-token'] ?? ''))) {
      wrong.push('a validation without the token of the service');
      refuse(response, 401, 'The request you have made requires authentication.');
    } else if (uses <= 0) refuse(response, 404, 'Could not find token.');
    else answer(response, 200, { token: describe('user', url) }, { 'x-subject-token': subject });
  }

  const server = createServer((request, response) => {
    const url = `http://${request.headers.host}/v3`;
    const [path = ''] = (request.url ?? '').split('?');
    const what = `${request.method} ${path.replace(/\/$/, '')}`;
    if (what === 'GET /v3') {
      const version = { id: 'v3.14', status: 'stable', links: [{ rel: 'self', href: `${url}/` }], updated: '2020-04-07T00:00:00Z' };
      return answer(response, 200, { version: { ...version, 'media-types': [] } });
    }
    if (what === 'POST /v3/auth/tokens') return void logIn(request, response, url);
    if (what === 'GET /v3/auth/tokens') return validate(request, response, url);
    wrong.push(what);
    refuse(response, 404, 'Not Found');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    identity: { url: `http://127.0.0.1:${port}/v3`, user: USER, password: PASSWORD },
    issue(requests = Number.POSITIVE_INFINITY) {
      const token = `user-${number++}`;
      left.set(token, requests);
      return token;
    },
    wrong,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** The fields of a token that is valid for an hour. */
function describe(name: string, url: string): object {
  const domain = { id: 'default', name: 'Default' };
  const now = Date.now();
  return {
    methods: ['password'],
    user: { id: `id-of-${name}`, name, domain, password_expires_at: null },
    project: { id: `project-of-${name}`, name: 'service', domain },
    is_domain: false,
    roles: [
      { id: 'r1', name: 'member' },
      { id: 'r2', name: 'service' },
    ],
    audit_ids: [name],
    issued_at: new Date(now).toISOString(),
    expires_at: new Date(now + 3_600_000).toISOString(),
    catalog: [
      {
        id: 'c1',
        type: 'identity',
        name: 'keystone',
        endpoints: ['public', 'internal', 'admin'].map((kind) => ({ id: kind, interface: kind, region: 'r', region_id: 'r', url })),
      },
    ],
  };
}
