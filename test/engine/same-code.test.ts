import { expect } from 'vitest';
import { check, info, VdiStreamError, writeDisk } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { eachImage } from '../support/images.ts';

/** The code of the error that a call throws, or `ok`. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (error instanceof VdiStreamError) return error.code;
    throw error;
  }
}

/** What `info` does not refuse, and why. */
const DESCRIBED: Readonly<Record<string, string>> = {
  DISK_AMBIGUOUS: 'it lists the disks to choose from',
  CHAIN_PARENT: 'it shows the chain, with a warning',
};

eachImage('write, info and check say the same of $file', { where: () => true }, async (image) => {
  const input = await image.store(testFolder());
  const code = await codeOf(writeDisk(input, 'null:'));
  expect(code in DESCRIBED ? 'ok' : code, 'info').toBe(await codeOf(info(input)));
  const { findings } = await check(input);
  const errors = findings.filter(({ severity }) => severity === 'error').map((finding) => finding.code);
  if (code === 'ok' || code === 'DISK_AMBIGUOUS') expect(errors).toEqual([]);
  // The check reads on, and so may find something else first.
  else expect(errors).toContain(code);
});
