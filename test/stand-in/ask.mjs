/** Sends a control request to the stand-in (control.mjs). */

import { connect } from 'node:net';

/** @param {string} socket path @param {import('./control.mjs').ControlRequest} request @returns {Promise<unknown>} */
export async function ask(socket, request) {
  const connection = connect(socket);
  const body = JSON.stringify(request);
  connection.write(`control ${Buffer.byteLength(body)}\n${body}`);
  let answer = '';
  for await (const part of connection.setEncoding('utf8')) answer += part;
  return JSON.parse(answer);
}
