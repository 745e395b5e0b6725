/** The wire of `control.mjs`, from the side that asks. */

import { connect } from 'node:net';

/** @param {string} socket path of the server's @param {import('./control.mjs').Wish} wish @returns {Promise<unknown>} */
export async function ask(socket, wish) {
  const connection = connect(socket);
  const body = JSON.stringify(wish);
  connection.write(`control ${Buffer.byteLength(body)}\n${body}`);
  let answer = '';
  for await (const part of connection.setEncoding('utf8')) answer += part;
  return JSON.parse(answer);
}
