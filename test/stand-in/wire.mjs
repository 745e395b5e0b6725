/**
 * Wire: the protocol of the socket, as xe.cc speaks it. Besides `xe`, a test may send `control` with JSON, and receives JSON.
 */

import { MAX_BODY } from './line.mjs';

/** @typedef {import('node:net').Socket} Socket */

/**
 * The single request of a connection; undefined if the connection ends first.
 * @param {Socket} socket @returns {Promise<{ kind: string, body: string } | undefined>}
 */
export function requestFrom(socket) {
  /** @type {Buffer[]} */
  const parts = [];
  return new Promise((resolve) => {
    socket.on('error', () => {}); // a client may be killed at any time
    socket.once('close', () => resolve(undefined));
    socket.on('data', (/** @type {Buffer} */ part) => {
      parts.push(part);
      const received = Buffer.concat(parts);
      const start = received.indexOf('\n') + 1;
      const [kind = '', length = ''] = received.toString('latin1', 0, start).trim().split(' ');
      if (start > 0 && received.length - start >= Number(length)) resolve({ kind, body: received.toString('utf8', start) });
    });
  });
}

/** @param {Socket} socket @param {'v' | 'o' | 'e' | 'x' | 'k'} what @param {string} text */
export function sendFrame(socket, what, text) {
  socket.write(`${what}${Buffer.byteLength(text)}\n${text}`);
}

/** @param {Socket} socket @param {import('./commands.mjs').Answer} answer */
export function sendAnswer(socket, { stdout, stderr, status }) {
  if (stdout !== '') sendFrame(socket, 'o', stdout);
  if (stderr !== '') sendFrame(socket, 'e', stderr);
  sendFrame(socket, 'x', String(status));
  socket.end();
}

/** Whether a body exceeds the limit. @param {string} body */
export const isTooLong = (body) => Buffer.byteLength(body) > MAX_BODY;
