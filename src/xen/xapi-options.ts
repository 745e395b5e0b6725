/** The options of a pool that is reached over the network. */

export interface XapiOptions {
  /** `https://HOST`, of the pool's master; another host of the pool names the master, which is then used. */
  readonly url: string;
  /** With `password`, logs in, and out at the end. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** In place of both: the reference of a session that the caller has opened, and closes. */
  readonly session?: string | undefined;
  /** PEM certificates to trust in addition to Node's own. */
  readonly ca?: string | undefined;
  /** SHA-256 of the certificates to trust, in hexadecimal, of each host that is connected to. With `ca`, both must hold. */
  readonly fingerprints?: readonly string[] | undefined;
  /** Milliseconds that a call may take, or a host may accept no byte; 5 minutes by default. */
  readonly timeout?: number | undefined;
  /** Milliseconds a running call has left to finish after a cancel; 10 s by default. */
  readonly grace?: number | undefined;
  /** Milliseconds that a host has to detach the VDI; 5 minutes by default, as XAPI allows for it. */
  readonly detachTimeout?: number | undefined;
  /** Milliseconds between two looks at what a host does; 1 s by default. */
  readonly pause?: number | undefined;
}
