/** The commands for storage repositories. */

/** A scan finds nothing new, but the SR must exist. @type {import('./commands.mjs').Command} */
export const srScan = {
  required: ['uuid'],
  optional: [],
  run({ world, value }) {
    world.assertAttached(world.get('sr', value('uuid')));
  },
};
