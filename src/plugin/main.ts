#!/usr/bin/env node
/**
 * The XAPI plugin. It loads its modules only once it can answer, so that even a missing one results in a failure document.
 */

import { keepYoungSpaceSmall, optimizeLater } from '../host/v8.ts';
import { serve } from './serve.ts';

optimizeLater();
keepYoungSpaceSmall();
serve(process.argv.slice(2), async () => (await import('./workers.ts')).workers);
