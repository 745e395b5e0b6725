/** The commands about storage repositories. */

/** There is nothing to find that is not known, but the SR has to be there. @type {import('./commands.mjs').Command} */
export const srScan = {
  required: ['uuid'],
  optional: [],
  run({ world, value }) {
    world.assertAttached(world.get('sr', value('uuid')));
  },
};
