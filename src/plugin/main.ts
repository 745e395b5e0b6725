#!/usr/bin/env node
/**
 * The XAPI plugin. It loads its modules only once it can answer, so that even a missing one results in a failure document.
 */

import { setFlagsFromString } from 'node:v8';
import { serve } from './serve.ts';

// As the command line does, for the same reason: see cli/main.ts.
setFlagsFromString('--interrupt-budget=1000000');
serve(process.argv.slice(2), async () => (await import('./workers.ts')).workers);
