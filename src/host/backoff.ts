/** Backoff: how often a failed request is retried by default, and the pause before a retry. */

/** Retries per server in a row without a byte of progress. */
export const RETRIES = 5;

/**
 * Milliseconds to pause once all servers have failed `round` times: half a second, doubled each round, at most 15 s, like Nova between its
 * own attempts (call_plugin_serialized_with_retry in nova/virt/xenapi/client/session.py).
 */
export const pauseAfter = (round: number): number => Math.min(500 * 2 ** (round - 1), 15_000);
