import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { VdiStreamError } from '../../src/errors.ts';
import {
  type Algorithm,
  checkSignature,
  digester,
  MAX_MANIFEST_BYTES,
  MAX_MANIFEST_LINES,
  readCertificate,
  readManifest,
} from '../../src/ova/manifest.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';

/** Made by OpenSSL 3.0, which also verified the signatures: `openssl dgst -verify`. The keys are gone. */
const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));

/** The digests of "abc" in FIPS 180-2. */
const ABC = {
  sha1: 'a9993e364706816aba3e25717850c26c9cd0d89d',
  sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  sha512:
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
};
const ALGORITHMS: readonly Algorithm[] = ['sha1', 'sha256', 'sha512'];

/** Each name with its digests, by algorithm. */
const entries = (text: string | Uint8Array): [string, Record<string, string>][] =>
  [...readManifest(Buffer.from(text), 'box.mf')].map(([name, digests]) => [name, Object.fromEntries(digests)]);
const refused = (text: string | Uint8Array): Promise<VdiStreamError> =>
  failure(Promise.resolve().then(() => readManifest(Buffer.from(text), 'box.mf')));
const one = (name: string, algorithm: Algorithm) => [[name, { [algorithm]: ABC[algorithm] }]];

describe('a manifest', () => {
  test.each([
    ['of OVF tools', `SHA256(box.ovf)= ${ABC.sha256}\n`, 'box.ovf', 'sha256'],
    ['of older VMware tools', `SHA1 (box-disk1.vmdk) = ${ABC.sha1}\r\n`, 'box-disk1.vmdk', 'sha1'],
    ['of VirtualBox', `SHA1 (box.ovf) = ${ABC.sha1}\n`, 'box.ovf', 'sha1'],
    ['of OpenSSL 3', `SHA2-512(disk.vhd)= ${ABC.sha512}\n`, 'disk.vhd', 'sha512'],
    ['without any blank', `SHA512(x)=${ABC.sha512}`, 'x', 'sha512'],
    ['with blanks and tabs everywhere', `SHA256\t ( x )\t= \t${ABC.sha256} \t \r\n`, ' x ', 'sha256'],
    ['with the algorithm in lower case', `sha256(x)= ${ABC.sha256}\n`, 'x', 'sha256'],
    ['with a hyphen in the algorithm', `SHA-256(x)= ${ABC.sha256}\n`, 'x', 'sha256'],
    ['with the digest in upper case', `SHA1(x)= ${ABC.sha1.toUpperCase()}\n`, 'x', 'sha1'],
    ['with a byte order mark', `\ufeffSHA1(x)= ${ABC.sha1}\n`, 'x', 'sha1'],
    ['with blank lines', `\n\r\n   \nSHA1(x)= ${ABC.sha1}\n\n`, 'x', 'sha1'],
    ['with "./" before the name', `SHA1(./x)= ${ABC.sha1}\n`, 'x', 'sha1'],
    ['with parentheses and blanks in the name', `SHA1(a (copy 2)) = (b).vhd)= ${ABC.sha1}\n`, 'a (copy 2)) = (b).vhd', 'sha1'],
    ['with a name that is not ASCII', `SHA1(größe 日本.vhd)= ${ABC.sha1}\n`, 'größe 日本.vhd', 'sha1'],
    ['that says the same twice', `SHA1(x)= ${ABC.sha1}\nSHA1 (./x) = ${ABC.sha1.toUpperCase()}\n`, 'x', 'sha1'],
  ] as const)('%s is read', (_, text, name, algorithm) => {
    expect(entries(text)).toEqual(one(name, algorithm));
  });

  test('may be empty', () => {
    for (const text of ['', '\n', '\r\n \n', '\ufeff']) expect(entries(text)).toEqual([]);
  });

  test('may use a different algorithm for each member', () => {
    const text = ALGORITHMS.map((algorithm) => `${algorithm.toUpperCase()}(${algorithm}.vhd)= ${ABC[algorithm]}\n`).join('');
    expect(entries(text)).toEqual(ALGORITHMS.map((algorithm) => [`${algorithm}.vhd`, { [algorithm]: ABC[algorithm] }]));
  });

  test('may have a digest of each algorithm for one member', () => {
    const lines = ALGORITHMS.flatMap((algorithm) => [`${algorithm}(x)= ${ABC[algorithm]}\n`, `${algorithm}(./x)= ${ABC[algorithm]}\n`]);
    fc.assert(
      fc.property(fc.shuffledSubarray(lines, { minLength: 1 }), (chosen) => {
        const used = ALGORITHMS.filter((algorithm) => chosen.some((line) => line.startsWith(algorithm)));
        expect(entries(chosen.join(''))).toEqual([['x', Object.fromEntries(used.map((algorithm) => [algorithm, ABC[algorithm]]))]]);
      }),
    );
  });

  test('written by sha1sum, sha256sum or sha512sum is read, and has the digests that the digester computes', () => {
    const folder = testFolder();
    const files: Record<string, Uint8Array> = { 'box.ovf': noise(700, 1), 'a disk (1).vhd': noise(100_000, 2), empty: new Uint8Array(0) };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    for (const algorithm of ALGORITHMS) {
      const text = execFileSync(`${algorithm}sum`, ['--tag', ...Object.keys(files).map((name) => `./${name}`)], { cwd: folder });
      const expected = Object.entries(files).map(([name, content]) => {
        const digests = digester([algorithm]);
        digests.update(content);
        return [name, { [algorithm]: digests.digests()[algorithm] }];
      });
      expect(entries(text)).toEqual(expected);
    }
  });

  test('written by OpenSSL is read', () => {
    expect(entries(fixture('box.mf')).map(([name, digests]) => [name, Object.keys(digests)])).toEqual([
      ['box.ovf', ['sha256']],
      ['box-disk1.vhd', ['sha256']],
    ]);
  });

  test('with any names and any spacing is read back', () => {
    const blanks = fc.stringMatching(/^[ \t]{0,3}$/);
    // A name that begins with "./" or "/" is another name.
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter((text) => !/\p{Cc}/u.test(text) && !/^\.?\//.test(text));
    const line = fc.record({
      name,
      algorithm: fc.constantFrom(...ALGORITHMS),
      content: fc.uint8Array({ maxLength: 20 }),
      spelling: fc.constantFrom('sha', 'SHA', 'Sha', 'SHA-'),
      spaces: fc.tuple(blanks, blanks, blanks, blanks),
      upper: fc.boolean(),
      dot: fc.constantFrom('', './'),
      end: fc.constantFrom('\n', '\r\n', '\n\n', ' \r\n\r\n'),
    });
    fc.assert(
      fc.property(fc.uniqueArray(line, { maxLength: 20, selector: (entry) => entry.name }), fc.boolean(), (written, marked) => {
        const digests = written.map(({ algorithm, content }) => createHash(algorithm).update(content).digest('hex'));
        const text = written.map(({ name: file, algorithm, spelling, spaces: [a, b, c, d], upper, dot, end }, index) => {
          const digest = digests[index] ?? '';
          return `${spelling}${algorithm.slice(3)}${a}(${dot}${file})${b}=${c}${upper ? digest.toUpperCase() : digest}${d}${end}`;
        });
        const expected = written.map(({ name: file, algorithm }, index) => [file, { [algorithm]: digests[index] }]);
        expect(entries(`${marked ? '\ufeff' : ''}${text.join('')}`)).toEqual(expected);
      }),
    );
  });
});

describe('a manifest is refused, with the offset of the line, for', () => {
  const good = `SHA1(größe.vhd)= ${ABC.sha1}\r\n`;

  test.each([
    ['a digest that is too short', `SHA1(x)= ${ABC.sha1.slice(1)}`, /39 hex digits.*sha1.*40/],
    ['a digest that is too long', `SHA1(x)= ${ABC.sha1}0`, /41 hex digits/],
    ['a digest of another algorithm', `SHA256(x)= ${ABC.sha1}`, /40 hex digits.*sha256.*64/],
    ['an algorithm that OVF does not allow', 'MD5(x)= 900150983cd24fb0d6963f7d28e17f72', /"MD5"/],
    ['a misspelled algorithm', `SHA384(x)= ${ABC.sha256}`, /"SHA384"/],
    ['a property of every object as algorithm', `constructor(x)= ${ABC.sha1}`, /"constructor"/],
    ['another digest for the same name', `SHA1(größe.vhd)= ${ABC.sha1.replaceAll('a', 'b')}`, /two different sha1 digests.*größe/],
    ['no digest', 'SHA1(x)= ', /does not have the form/],
    ['no equals sign', `SHA1(x) ${ABC.sha1}`, /does not have the form/],
    ['no parenthesis', `SHA1 x = ${ABC.sha1}`, /does not have the form/],
    ['parentheses the wrong way round', `SHA1)x(= ${ABC.sha1}`, /does not have the form/],
    ['no algorithm', `(x)= ${ABC.sha1}`, /does not have the form/],
    ['text after the digest', `SHA1(x)= ${ABC.sha1} x`, /does not have the form/],
    ['a digest that is not hex', `SHA1(x)= ${'g'.repeat(40)}`, /does not have the form/],
    ['the form of sha256sum without --tag', `${ABC.sha256}  x`, /does not have the form/],
    ['an empty name', `SHA1()= ${ABC.sha1}`, /has no file name/],
    ['a name that is only "./"', `SHA1(./)= ${ABC.sha1}`, /has no file name/],
    ['a NUL in the name', `SHA1(a\0b)= ${ABC.sha1}`, /has no file name/],
    ['an escape in the name', `SHA1(\x1b[2J)= ${ABC.sha1}`, /has no file name.*\\u001b/],
  ])('%s', async (_, line, message) => {
    const error = await refused(`${good}${line}\n${good}`);
    expect(error).toMatchObject({ code: 'MANIFEST_SYNTAX', member: 'box.mf', offset: Buffer.byteLength(good) });
    expect(error.message).toMatch(message);
  });

  test('bytes that are not UTF-8', async () => {
    const text = Buffer.concat([Buffer.from(good), Buffer.from(`SHA1(gr\xf6\xdfe)= ${ABC.sha1}\n`, 'latin1')]);
    expect(await refused(text)).toMatchObject({ code: 'MANIFEST_SYNTAX', offset: Buffer.byteLength(good) });
  });

  test('more bytes or lines than the limits, while exactly as many are accepted', async () => {
    const line = `SHA1(x)= ${ABC.sha1}\n`;
    const full = line + ' '.repeat(MAX_MANIFEST_BYTES - line.length);
    expect(entries(full)).toEqual(one('x', 'sha1'));
    expect((await refused(`${full} `)).code).toBe('MANIFEST_SYNTAX');
    const lines = line + '\n'.repeat(MAX_MANIFEST_LINES - 1);
    expect(entries(lines)).toEqual(one('x', 'sha1'));
    expect(await refused(`${lines}\n`)).toMatchObject({ code: 'MANIFEST_SYNTAX', offset: lines.length });
  });

  test('anything else in it, always with a typed error', async () => {
    const pieces = fc.constantFrom(
      'SHA1',
      'sha-256',
      '(',
      ')',
      '= ',
      '=',
      'x',
      './',
      ' ',
      '\r\n',
      '\n',
      '\0',
      '\ufeff',
      ABC.sha1,
      ABC.sha256,
    );
    const text = fc.oneof(
      fc.array(pieces, { maxLength: 30 }).map((parts) => Buffer.from(parts.join(''))),
      fc.uint8Array({ maxLength: 200 }),
    );
    await fc.assert(
      fc.asyncProperty(text, async (bytes) => {
        const result = await Promise.resolve()
          .then(() => readManifest(bytes, 'box.mf'))
          .catch((error: VdiStreamError) => error.code);
        expect(result instanceof Map || result === 'MANIFEST_SYNTAX').toBe(true);
        await Promise.resolve()
          .then(() => readCertificate(bytes, 'box.cert'))
          .catch((error: VdiStreamError) => expect(error.code).toBe('MANIFEST_SYNTAX'));
      }),
    );
  });
});

describe('a certificate file', () => {
  const manifest = fixture('box.mf');
  const changed = Buffer.from(manifest.toString().replace('box.ovf', 'bux.ovf'));
  const refusedCertificate = (text: string): Promise<VdiStreamError> =>
    failure(Promise.resolve().then(() => readCertificate(Buffer.from(text), 'box.cert')));
  const refusedSignature = (text: string, signed: Uint8Array): Promise<VdiStreamError> =>
    failure(Promise.resolve().then(() => checkSignature(readCertificate(Buffer.from(text), 'box.cert'), signed)));

  test.each([
    ['rsa.cert', 'sha256', 256, 1],
    ['rsa-sha1.cert', 'sha1', 256, 1],
    ['ec.cert', 'sha512', 71, 2],
  ])('like %s, signed by OpenSSL, is read and its signature verifies', (name, algorithm, length, certificates) => {
    const certificate = readCertificate(fixture(name), 'box.cert');
    expect(certificate).toMatchObject({ algorithm, manifestName: 'box.mf' });
    expect(Buffer.from(certificate.signature).toString('hex')).toBe(/= ([0-9a-f]+)/.exec(fixture(name).toString())?.[1]);
    expect(certificate.signature.length).toBe(length);
    expect(certificate.pem.match(/-BEGIN CERTIFICATE-/g)?.length).toBe(certificates);
    checkSignature(certificate, manifest);
  });

  test.each(['rsa.cert', 'rsa-sha1.cert', 'ec.cert'])(
    'like %s does not verify another manifest, another signature or another key',
    async (name) => {
      const text = fixture(name).toString();
      expect(await refusedSignature(text, changed)).toMatchObject({ code: 'MANIFEST_SIGNATURE', member: 'box.mf' });
      const other = text.replace(/= (..)(..)/, '= $2$1');
      expect((await refusedSignature(other, manifest)).code).toBe('MANIFEST_SIGNATURE');
      const pem = fixture(name === 'ec.cert' ? 'rsa.cert' : 'ec.cert')
        .toString()
        .replace(/^.*\n/, '');
      expect((await refusedSignature(text.replace(/\n[\s\S]*/, `\n${pem}`), manifest)).code).toBe('MANIFEST_SIGNATURE');
    },
  );

  test('does not verify with a different algorithm than the signature has', async () => {
    const text = fixture('rsa.cert').toString().replace('RSA-SHA2-256', 'SHA512');
    expect((await refusedSignature(text, manifest)).code).toBe('MANIFEST_SIGNATURE');
  });

  test('may have Windows line ends, a byte order mark, blank lines and text around the certificates', () => {
    const [line = '', ...pem] = fixture('rsa.cert').toString().split('\n');
    const text = ['\ufeff', line.replace('RSA-SHA2-256(box.mf)= ', 'SHA256 (./box.mf) = '), '', 'subject=O = vdistream', ...pem, 'the end'];
    const certificate = readCertificate(Buffer.from(text.join('\r\n')), 'box.cert');
    expect(certificate).toMatchObject({ algorithm: 'sha256', manifestName: 'box.mf' });
    expect(certificate.pem).toBe(pem.join('\n'));
    checkSignature(certificate, manifest);
  });

  test.each([
    ['it is empty', () => '', 0],
    ['its first line is not a signature', (text: string) => text.replace(/^.*\n/, ''), 0],
    ['its signature has an odd number of hex digits', (text: string) => text.replace('= ', '= 0'), 0],
    ['its algorithm is unknown', (text: string) => text.replace('RSA-SHA2-256', 'MD5'), 0],
    ['it has no certificate', (text: string) => text.replace(/\n[\s\S]*/, '\n'), 535],
    ['its certificate has no end', (text: string) => text.replace(/-----END.*\n/, ''), 535],
    ['its certificate is damaged', (text: string) => text.replace('MIID', 'AAAA'), 535],
  ])('is refused if %s', async (_, change, offset) => {
    const text = fixture('rsa.cert').toString();
    expect(text.indexOf('\n')).toBe(534);
    expect(await refusedCertificate(change(text))).toMatchObject({ code: 'MANIFEST_SYNTAX', member: 'box.cert', offset });
  });

  test('larger than the limit is refused', async () => {
    const text = fixture('rsa.cert').toString();
    expect((await refusedCertificate(text + '\n'.repeat(MAX_MANIFEST_BYTES))).code).toBe('MANIFEST_SYNTAX');
  });
});

describe('the digester', () => {
  test('returns the digests of the standard, however the bytes are chunked', () => {
    for (const parts of [['abc'], ['a', 'bc'], ['', 'a', 'b', '', 'c']]) {
      const digests = digester(ALGORITHMS);
      for (const part of parts) digests.update(Buffer.from(part));
      expect(digests.digests()).toEqual(ABC);
    }
  });

  test('returns the requested digests, also before the end', () => {
    const digests = digester(['sha256', 'sha256']);
    digests.update(Buffer.from('abc'));
    expect(digests.digests()).toEqual({ sha256: ABC.sha256 });
    expect(digests.digests()).toEqual({ sha256: ABC.sha256 });
    digests.update(Buffer.from('d'));
    expect(digests.digests()).not.toEqual({ sha256: ABC.sha256 });
    expect(digester([]).digests()).toEqual({});
  });
});
