// Constrained answers: whatever a model with random weights would rather say, they are the JSON
// that was asked for.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { MODEL, OpenAI, Server } from './server.mjs';

let server, client;
before(async () => {
  server = await Server.start();
  client = server.client();
});
after(async () => assert.equal(await server.stop(), 0));

const seeds = Array.from({ length: 12 }, (_, i) => i);
const request = (seed, responseFormat, more = {}) => ({
  model: MODEL, messages: [{ role: 'user', content: 'Describe a run.' }], seed, max_tokens: 1500,
  response_format: responseFormat, ...more,
});

// Tokens of single bytes: their ids follow the printable characters.
const bias = (characters, amount) =>
  Object.fromEntries([...characters].map((c) => [c.charCodeAt(0) - 33, amount]));

test('JSON mode: what ended is a JSON object', async () => {
  const answers = await Promise.all(seeds.map((seed) => client.chat.completions.create(
    request(seed, { type: 'json_object' }, { max_tokens: 400, logit_bias: bias('":,}]019', 6) }))));
  const ended = answers.map((answer) => answer.choices[0])
    .filter((choice) => choice.finish_reason === 'stop');
  assert.ok(ended.length >= 3, `only ${ended.length} ended`);
  const objects = ended.map((choice) => JSON.parse(choice.message.content));
  for (const object of objects) {
    assert.equal(Object.prototype.toString.call(object), '[object Object]');
  }
  assert.ok(objects.some((object) => Object.keys(object).length > 0));
});

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'state', 'ranks', 'loss', 'tags', 'parent', 'where'],
  properties: {
    name: { type: 'string', pattern: '^[a-z]{1,8}-[0-9]{2}$' },
    state: { enum: ['waiting', 'running', 'done'] },
    ranks: { type: 'integer', minimum: 1, maximum: 64 },
    loss: { anyOf: [{ type: 'number' }, { type: 'null' }] },
    tags: { type: 'array', items: { type: 'string', maxLength: 6 }, minItems: 1, maxItems: 3 },
    parent: { type: 'boolean' },
    where: { $ref: '#/$defs/place' },
  },
  $defs: {
    place: {
      type: 'object', additionalProperties: false, required: ['host'],
      properties: { host: { type: 'string', minLength: 2, maxLength: 5 } },
    },
  },
};

function assertFits(run) {
  assert.deepEqual(Object.keys(run), schema.required);
  assert.match(run.name, /^[a-z]{1,8}-[0-9]{2}$/);
  assert.ok(schema.properties.state.enum.includes(run.state));
  assert.ok(Number.isInteger(run.ranks) && 1 <= run.ranks && run.ranks <= 64);
  assert.ok(run.loss === null || typeof run.loss === 'number');
  assert.ok(Array.isArray(run.tags) && 1 <= run.tags.length && run.tags.length <= 3);
  for (const tag of run.tags) assert.ok(typeof tag === 'string' && [...tag].length <= 6);
  assert.equal(typeof run.parent, 'boolean');
  assert.deepEqual(Object.keys(run.where), ['host']);
  assert.equal(typeof run.where.host, 'string');
  const { length } = [...run.where.host];
  assert.ok(2 <= length && length <= 5);
}

const strict = (of) =>
  ({ type: 'json_schema', json_schema: { name: 'run', strict: true, schema: of } });

test('a strict schema: each answer parses and fits', async () => {
  const answers = await Promise.all(seeds.map((seed) =>
    client.chat.completions.create(request(seed, strict(schema)))));
  for (const answer of answers) {
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assertFits(JSON.parse(answer.choices[0].message.content));
  }
  const distinct = new Set(answers.map((answer) => answer.choices[0].message.content));
  assert.ok(distinct.size > seeds.length / 2);
});

test('a strict schema: streamed, and for every choice', async () => {
  const streamed = await client.chat.completions.stream(
    request(3, strict(schema), { n: 3 })).finalChatCompletion();
  assert.equal(streamed.choices.length, 3);
  for (const choice of streamed.choices) assertFits(JSON.parse(choice.message.content));
});

test('a schema that cannot be kept is refused with its place', async () => {
  const broken = { type: 'object', properties: { a: { type: 'strung' } } };
  await assert.rejects(client.chat.completions.create(request(1, strict(broken))), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.match(error.message, /#\/properties\/a/);
    return true;
  });
  await assert.rejects(
    client.chat.completions.create(request(1, { type: 'json_schema', json_schema: { name: 'x' } })),
    (error) => error instanceof OpenAI.BadRequestError &&
      error.param === 'response_format.json_schema');
});
