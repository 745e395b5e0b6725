/** What a command prints on stderr besides progress, of which there is more the slower the machine is. */

const PROGRESS = /^(?:vdistream: (?:waiting|(?:read|write|verify|scan|export) [^:]*|\d+ of \d+ images), .*|\{"progress":.*)\n/gm;

export const withoutProgress = (stderr: string): string => stderr.replace(PROGRESS, '');
