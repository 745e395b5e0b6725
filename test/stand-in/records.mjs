/** Records: the commands that every class has: X-list and X-param-*. */

import { FIELDS, SHOWN } from './fields.mjs';
import { failed, serverError } from './refusal.mjs';

/** @typedef {import('./world.mjs').World} World */
/** @typedef {import('./world.mjs').Class} Class */
/** @typedef {import('./commands.mjs').Command} Command */
/** @typedef {import('./commands.mjs').Call} Call */

/**
 * A field of one record, bound to it.
 * @typedef {object} Bound
 * @property {string} name
 * @property {string | string[] | Record<string, string>} value
 * @property {((text: string) => void) | undefined} set
 * @property {boolean} writable whether members can be added to the set or map
 * @property {string} text the value as printed
 */

/** @template {Class} C @param {C} kind @param {import('./world.mjs').Objects[C][number]} record @param {World} world @returns {Bound[]} */
function fieldsOf(kind, record, world) {
  return FIELDS[kind].map(({ name, get, set, writable = false, joint = ', ' }) => {
    const value = get(record, world);
    const bound = set === undefined ? undefined : (/** @type {string} */ text) => set(record, text);
    return { name, value, set: bound, writable, text: textOf(value, joint) };
  });
}

/** @param {Bound['value']} value @param {string} joint */
function textOf(value, joint) {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.join(joint);
  return Object.entries(value)
    .map(([key, text]) => `${key}: ${text}`)
    .join('; ');
}

/** @param {Bound} field @returns {readonly [string, string]} */
function shown({ name, value, set, writable, text }) {
  const type = typeof value === 'string' ? ' ' : Array.isArray(value) ? 'S' : 'M';
  return [`${name} (${type}${set !== undefined || writable ? 'RW' : 'RO'})`, text];
}

/** @param {readonly Bound[]} fields @param {string} name */
function lookUp(fields, name) {
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw serverError('Missing parameter', name);
  return field;
}

/** Whether a record passes a filter of a list. @param {readonly Bound[]} fields @param {readonly [string, string]} filter */
function passes(fields, [name, wanted]) {
  const plain = fields.find((field) => field.name === name);
  if (plain !== undefined) return plain.text === wanted;
  const colon = name.indexOf(':');
  const field = fields.find((candidate) => colon > 0 && candidate.name === name.slice(0, colon));
  if (field === undefined) throw failed(`Unknown field '${name}'`);
  const key = name.slice(colon + 1);
  if (typeof field.value === 'string') throw failed(`Field '${field.name}' is not a set or map`);
  if (!Array.isArray(field.value)) return Object.hasOwn(field.value, key) && field.value[key] === wanted;
  if (key !== 'contains') throw failed('Invalid syntax for set filtering (should be set-param:contains=key)');
  return field.value.includes(wanted);
}

/**
 * Unlike the real xe, it refuses unknown fields even if there are no records, and in `params`. `trace` is a filter, as in old versions, and
 * thus an unknown field.
 * @param {Class} kind @returns {Command}
 */
const list = (kind) => ({
  required: [],
  optional: ['params'],
  any: true,
  run({ world, parameters }) {
    const filters = parameters.filter(([name]) => name !== 'params');
    const known = FIELDS[kind];
    for (const [name] of filters) {
      if (!known.some((field) => field.name === name.split(':')[0])) throw failed(`Unknown field '${name}'`);
    }
    const params = parameters.find(([name]) => name === 'params')?.[1];
    const names = params === 'all' ? known.map(({ name }) => name) : (params?.split(',') ?? SHOWN[kind]);
    for (const name of names) {
      if (!known.some((field) => field.name === name)) throw failed(`Unknown field '${name}'`);
    }
    const records = world.objects[kind].map((record) => fieldsOf(kind, record, world));
    const passing = records.filter((fields) => filters.every((filter) => passes(fields, filter)));
    return { table: passing.map((fields) => fields.filter(({ name }) => names.includes(name)).map(shown)) };
  },
});

/**
 * A command about one object, by its uuid.
 * @param {Class} kind @param {Pick<Command, 'required' | 'optional' | 'any'>} shape
 * @param {(fields: readonly Bound[], call: Call, record: import('./world.mjs').Identity) => import('./printer.mjs').Output | void} act
 * @returns {Command}
 */
const about = (kind, { required, optional, any }, act) => ({
  required: ['uuid', ...required],
  optional,
  ...(any === undefined ? {} : { any }),
  run(call) {
    const record = call.world.get(kind, call.value('uuid'));
    return act(fieldsOf(kind, record, call.world), call, record) ?? {};
  },
});

/** @param {Class} kind @returns {readonly (readonly [string, Command])[]} */
export const recordCommands = (kind) => [
  [`${kind}-list`, list(kind)],
  [`${kind}-param-list`, about(kind, { required: [], optional: [] }, (fields) => ({ table: [fields.map(shown)] }))],
  [
    `${kind}-param-get`,
    about(kind, { required: ['param-name'], optional: ['param-key'] }, (fields, { value, optional }) => {
      const field = lookUp(fields, value('param-name'));
      const key = optional('param-key');
      if (key === undefined || typeof field.value === 'string' || Array.isArray(field.value)) return { list: [field.text] };
      const found = Object.hasOwn(field.value, key) ? field.value[key] : undefined;
      if (found === undefined) throw failed(`Key ${key} not found in map`);
      return { list: [found] };
    }),
  ],
  [
    `${kind}-param-set`,
    about(kind, { required: [], optional: [], any: true }, (fields, { parameters }) => {
      for (const [name, text] of parameters.filter(([parameter]) => parameter !== 'uuid')) setField(fields, name, text);
    }),
  ],
  [
    `${kind}-param-add`,
    about(kind, { required: ['param-name'], optional: ['param-key'], any: true }, (fields, { value, optional, parameters }, { ref }) => {
      const field = lookUp(fields, value('param-name'));
      if (typeof field.value === 'string') throw failed('Can only add to parameters of type Set or Map');
      if (!field.writable) throw failed('Parameter is read-only');
      const key = optional('param-key');
      const pairs = parameters.filter(([name]) => !['uuid', 'param-name', 'param-key'].includes(name));
      if (Array.isArray(field.value)) {
        if (key === undefined || pairs.length > 0) {
          throw failed('When adding a key to a set, use the syntax: *-param-add param-name=<name> param-key=<key>');
        }
        if (!field.value.includes(key)) field.value.push(key);
        return;
      }
      for (const [name, text] of pairs) {
        if (Object.hasOwn(field.value, name))
          throw serverError('MAP_DUPLICATE_KEY', kind.toUpperCase(), field.name.replace('-', '_'), ref, name);
        field.value[name] = text;
      }
    }),
  ],
  [
    `${kind}-param-remove`,
    about(kind, { required: ['param-name', 'param-key'], optional: [] }, (fields, { value }) => {
      const field = lookUp(fields, value('param-name'));
      const key = value('param-key');
      if (typeof field.value === 'string') throw failed('Can only remove from parameters of type Set or Map');
      if (!field.writable) throw failed('Cannot remove parameters from read-only map');
      if (Array.isArray(field.value)) {
        if (!field.value.includes(key)) throw failed(`Key ${key} is not in the set`);
        field.value.splice(field.value.indexOf(key), 1);
      } else {
        if (!Object.hasOwn(field.value, key)) throw failed(`Key ${key} is not in map`);
        delete field.value[key];
      }
    }),
  ],
  [
    `${kind}-param-clear`,
    about(kind, { required: ['param-name'], optional: [] }, (fields, { value }) => {
      const { value: held, set, writable } = lookUp(fields, value('param-name'));
      if (typeof held !== 'string' && writable) {
        if (Array.isArray(held)) held.length = 0;
        else for (const key of Object.keys(held)) delete held[key];
      } else if (set !== undefined) set('');
      else throw failed('Can only clear RW parameters');
    }),
  ],
];

/** @param {readonly Bound[]} fields @param {string} name `field`, or `map:key` @param {string} text */
function setField(fields, name, text) {
  const plain = fields.find((field) => field.name === name);
  if (plain?.set !== undefined) return plain.set(text);
  if (plain !== undefined && typeof plain.value !== 'string' && !Array.isArray(plain.value) && plain.writable) {
    throw failed(`Field '${name}' is a map or set. use the 'name:key=value' syntax.`);
  }
  if (plain !== undefined) throw failed(`Field '${name}' is read-only.`);
  const colon = name.indexOf(':');
  const field = fields.find((candidate) => colon > 0 && candidate.name === name.slice(0, colon));
  if (field === undefined) throw failed(`Unknown field '${name}'`);
  if (typeof field.value === 'string') throw failed(`Field '${field.name}' is not a set or map`);
  if (Array.isArray(field.value)) throw failed('Cannot param-set on set fields');
  if (!field.writable) throw failed(`Map field '${field.name}' is read-only.`);
  field.value[name.slice(colon + 1)] = text;
}
