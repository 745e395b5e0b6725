/** The layouts of ISA-L's structures, which native/deflate_isal.h declares itself, are those of its header. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

const nativeFolder = fileURLToPath(new URL('../../native', import.meta.url));

const same = (ours: string, theirs: string, fields: readonly (readonly [ours: string, theirs: string])[]): string =>
  [
    `static_assert(sizeof(${ours}) == sizeof(${theirs}));`,
    ...fields.map(
      ([mine, its]) =>
        `static_assert(offsetof(${ours}, ${mine}) == offsetof(${theirs}, ${its}) && sizeof(${ours}::${mine}) == sizeof(${theirs}::${its}));`,
    ),
  ].join('\n');
const alike = (...names: string[]): [string, string][] => names.map((name) => [name, name]);

const INFLATE = alike('next_out', 'avail_out', 'next_in', 'read_in', 'avail_in', 'read_in_length', 'crc_flag', 'crc', 'hist_bits');
const DEFLATE = alike('next_in', 'avail_in', 'next_out', 'avail_out', 'level', 'end_of_stream', 'flush', 'gzip_flag', 'hist_bits');

const PROGRAM = `
#include <isa-l/igzip_lib.h>
#include "deflate_isal.h"
using namespace vdistream;
${same('IsalInflate', 'inflate_state', [...INFLATE, ['block_state', 'block_state']])}
${same('IsalDeflate', 'isal_zstream', [...DEFLATE, ['level_buffer', 'level_buf'], ['level_buffer_size', 'level_buf_size']])}
static_assert(offsetof(IsalDeflate, state) == offsetof(isal_zstream, internal_state) + offsetof(isal_zstate, state));
static_assert(kIsalGzipNoHeader == ISAL_GZIP_NO_HDR && kIsalFinish == ISAL_BLOCK_FINISH && kIsalDeflateEnd == ZSTATE_END);
static_assert(kIsalMaxLevel == ISAL_DEF_MAX_LEVEL && kIsalLevelBuffer == ISAL_DEF_LVL3_EXTRA_LARGE);
static_assert(kIsalLevelBuffer >= ISAL_DEF_LVL2_EXTRA_LARGE && kIsalLevelBuffer >= ISAL_DEF_LVL1_EXTRA_LARGE);
`;

testWith('g++', 'igzip_lib.h')('the layouts of its structures are those of its header', () => {
  const file = join(testFolder(), 'layout.cc');
  writeFileSync(file, PROGRAM);
  execFileSync('g++', ['-std=c++20', '-fsyntax-only', '-Wno-invalid-offsetof', '-I', nativeFolder, file]);
});

testWith('g++', 'libisal')('a library is refused with the reason if it does not exist, lacks a function, or does the wrong thing', () => {
  const folder = testFolder();
  const names = ['inflate_init', 'inflate_reset', 'inflate', 'inflate_stateless', 'deflate_init', 'deflate'];
  writeFileSync(join(folder, 'wrong.cc'), names.map((name) => `extern "C" int isal_${name}(void*) { return 0; }`).join('\n'));
  const library = join(folder, 'libisal.so.2');
  execFileSync('g++', ['-shared', '-fPIC', '-o', library, join(folder, 'wrong.cc')]);
  const addon = join(nativeFolder, '../build/Release/vdistream.node');
  const text = `const addon = require(${JSON.stringify(addon)});
    const missing = addon.loadIsal('/nowhere/libisal.so.2');
    const none = addon.loadIsal('libc.so.6');
    const wrong = addon.loadIsal(${JSON.stringify(library)});
    const right = addon.loadIsal('libisal.so.2');
    console.log(JSON.stringify({ missing, none, wrong, right: right === undefined }));`;
  expect(JSON.parse(execFileSync(process.execPath, ['-e', text], { encoding: 'utf8' }))).toEqual({
    missing: 'it cannot be loaded',
    none: 'it lacks a function',
    wrong: 'it does not work as this version of vdistream expects',
    right: true,
  });
});
