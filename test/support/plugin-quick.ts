/** The plugin with its own workers, but without its long waits for an image service. */

import { serve } from '../../src/plugin/serve.ts';
import { uploadVdi, workers } from '../../src/plugin/workers.ts';

serve(process.argv.slice(2), async () => ({
  ...workers,
  uploadVdi: (vdi, image, job) => uploadVdi(vdi, image, job, { answerTimeout: 1000, settleTimeout: 1500 }),
}));
