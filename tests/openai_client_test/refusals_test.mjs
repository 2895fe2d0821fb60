// What `longrun serve` refuses, in the classes that OpenAI's client has for it, and what the client
// does about it by itself.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { CONTEXT, MODEL, OpenAI, Server, until } from './server.mjs';

const TENANTS = `
tenants:
  - name: free
    keys: [sk-free-tenant]
  - name: elsewhere
    keys: [sk-elsewhere-tenant]
    models: [another]
  - name: once
    keys: [sk-once-tenant]
    requests_per_minute: 1
  - name: brisk
    keys: [sk-brisk-tenant]
    requests_per_minute: 60
  - name: sparing
    keys: [sk-sparing-tenant]
    tokens_per_minute: 50
`;

let server, client, folder;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'longrun-tenants-'));
  writeFileSync(path.join(folder, 'tenants.yaml'), TENANTS);
  server = await Server.start('--api-keys', path.join(folder, 'tenants.yaml'));
  client = server.client({ apiKey: 'sk-free-tenant' });
});
after(async () => {
  assert.equal(await server.stop(), 0);
  rmSync(folder, { recursive: true });
});

const chatBody = (more) => ({
  model: MODEL, messages: [{ role: 'user', content: 'Say it.' }], max_tokens: 1, ...more,
});
const chat = (more, by = client) => by.chat.completions.create(chatBody(more));
const complete = (more, by = client) =>
  by.completions.create({ model: MODEL, prompt: 'Never', max_tokens: 1, ...more });

// The error, which has the class and the fields that are `expected`.
async function refused(promise, kind, expected) {
  const error = await promise.then(() => assert.fail('it was answered'), (refusal) => refusal);
  assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
  for (const [key, value] of Object.entries(expected)) {
    assert.equal(error[key], value, error.message);
  }
  assert.match(error.requestID, /^req_/);
  return error;
}

// A fetch that remembers the status of each answer.
function watchedFetch() {
  const statuses = [];
  const watched = async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
  return { statuses, fetch: watched };
}

test('a model that is not served', async () => {
  const expected = { status: 404, code: 'model_not_found', param: 'model' };
  for (const ask of [chat, complete]) {
    const error = await refused(ask({ model: 'gpt-9' }), OpenAI.NotFoundError, expected);
    assert.match(error.message, /gpt-9/);
    assert.equal(error.type, 'invalid_request_error');
  }
  await refused(client.models.retrieve('gpt-9'), OpenAI.NotFoundError, expected);
  await refused(client.embeddings.create({ model: 'gpt-9', input: 'x' }), OpenAI.NotFoundError,
    expected);
});

test('a path that there is not', async () => {
  await refused(client.post('/fine_tuning/jobs', { body: {} }), OpenAI.NotFoundError,
    { code: 'unknown_url' });
});

test('a prompt that is too long, or whose answer would be', async () => {
  const expected = { status: 400, code: 'context_length_exceeded' };
  const long = 'x'.repeat(CONTEXT + 1);
  const error = await refused(complete({ prompt: long }), OpenAI.BadRequestError,
    { ...expected, param: 'prompt' });
  assert.match(error.message, new RegExp(`maximum context length is ${CONTEXT} tokens`));
  await refused(chat({ messages: [{ role: 'user', content: long }] }), OpenAI.BadRequestError,
    { ...expected, param: 'messages' });
  await refused(complete({ max_tokens: CONTEXT }), OpenAI.BadRequestError,
    { ...expected, param: 'prompt' });
  await refused(client.embeddings.create({ model: MODEL, input: long }), OpenAI.BadRequestError,
    { ...expected, param: 'input' });
});

test('fields that are wrong are named', async () => {
  const cases = [
    [{ n: 100_000 }, 'n'], [{ n: 0 }, 'n'], [{ n: 1.5 }, 'n'],
    [{ temperature: 'hot' }, 'temperature'], [{ temperature: -1 }, 'temperature'],
    [{ top_p: 2 }, 'top_p'], [{ max_tokens: -5 }, 'max_tokens'],
    [{ stop: 7 }, 'stop'], [{ seed: 'x' }, 'seed'], [{ logit_bias: { 999999: 1 } }, 'logit_bias'],
    [{ stream: 'yes' }, 'stream'], [{ messages: [] }, 'messages'], [{ messages: 'hi' }, 'messages'],
    [{ messages: [{ role: 'wizard', content: '' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ messages: undefined }, 'messages'], [{ model: undefined }, 'model'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ response_format: { type: 'xml' } }, 'response_format'],
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools'],
  ];
  for (const [wrong, param] of cases) {
    const error = await refused(chat(wrong), OpenAI.BadRequestError, { status: 400, param });
    assert.ok(error.message.length > '400 '.length);
  }
  await refused(complete({ prompt: [1, 99999] }), OpenAI.BadRequestError, { param: 'prompt' });
  await refused(complete({ prompt: '' }), OpenAI.BadRequestError, { param: 'prompt' });
  await refused(complete({ logprobs: 21 }), OpenAI.BadRequestError, { param: 'logprobs' });
});

test('a body that is no JSON', async () => {
  const headers = { 'content-type': 'application/json' };
  for (const body of ['{"model":', '[]', 'null', '{"model": "a", "model": "b"}']) {
    const wrong = client.post('/chat/completions', { body, headers });
    await refused(wrong, OpenAI.BadRequestError, { status: 400, param: null });
  }
});

test('a key that is wrong, a model and a priority that are not allowed', async () => {
  const stranger = server.client({ apiKey: 'sk-wrong' });
  for (const ask of [() => chat({}, stranger), () => stranger.models.list()]) {
    await refused(ask(), OpenAI.AuthenticationError, { status: 401, code: 'invalid_api_key' });
  }
  const elsewhere = server.client({ apiKey: 'sk-elsewhere-tenant' });
  await refused(chat({}, elsewhere), OpenAI.PermissionDeniedError,
    { status: 403, code: 'model_not_allowed', param: 'model' });
  assert.deepEqual((await elsewhere.models.list()).data, []);
  await refused(chat({ priority: 5 }), OpenAI.PermissionDeniedError,
    { status: 403, param: 'priority' });
});

test('a tenant over its requests is told when to come back', async () => {
  const once = server.client({ apiKey: 'sk-once-tenant' });
  const { response } = await chat({}, once).withResponse();
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '1');
  assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '0');
  const error = await refused(chat({}, once), OpenAI.RateLimitError,
    { status: 429, code: 'rate_limit_exceeded', type: 'requests' });
  const seconds = Number(error.headers.get('retry-after'));
  assert.ok(1 <= seconds && seconds <= 60, `${seconds}`);
  assert.ok(Number(error.headers.get('retry-after-ms')) <= 1000 * seconds);
});

test('a prompt over what a tenant may ever use is not worth a retry', async () => {
  const { statuses, fetch } = watchedFetch();
  const sparing = server.client({ apiKey: 'sk-sparing-tenant', fetch, maxRetries: 3 });
  const error = await refused(complete({ prompt: 'x'.repeat(200) }, sparing), OpenAI.RateLimitError,
    { code: 'rate_limit_exceeded', type: 'tokens' });
  assert.equal(error.headers.get('x-should-retry'), 'false');
  assert.deepEqual(statuses, [429]);
});

test('the client waits as long as it is told, and its retry succeeds', async () => {
  const { statuses, fetch } = watchedFetch();
  const patient = server.client({ apiKey: 'sk-brisk-tenant', fetch, maxRetries: 5 });
  const hasty = server.client({ apiKey: 'sk-brisk-tenant' });
  for (let attempt = 0; attempt < 20 && !statuses.includes(429); ++attempt) {
    // Until all of this minute's are used up; one more comes back each second.
    const results = await Promise.allSettled(Array.from({ length: 70 }, () => chat({}, hasty)));
    if (results.every((result) => result.status === 'fulfilled')) continue;
    statuses.length = 0;
    const answer = await chat({}, patient);
    assert.equal(answer.choices.length, 1);
  }
  assert.equal(statuses[0], 429);
  assert.equal(statuses.at(-1), 200);
});

test('an overloaded server refuses with a time, after which the retry succeeds', async (t) => {
  const busy = await Server.start('--max-wait', '200ms');
  t.after(() => busy.stop());
  const prompts = Array.from({ length: 16 }, (_, i) => `${i}`.padEnd(2000, 'x'));
  const much = complete({ prompt: prompts }, busy.client());
  await until('it is at work', () => busy.metric('vllm:num_requests_running'));
  // Until it has seen how fast it is, it takes whatever comes: so they are asked side by side.
  const asked = [];
  let refusal;
  await until('it refuses', () => {
    asked.push(chat({}, busy.client()).catch((error) => (refusal ??= error)));
    return refusal;
  });
  assert.ok(refusal instanceof OpenAI.RateLimitError, `${refusal}`);
  assert.equal(refusal.code, 'engine_overloaded');
  assert.ok(Number(refusal.headers.get('retry-after')) >= 1);

  const { statuses, fetch } = watchedFetch();
  await chat({}, busy.client({ fetch, maxRetries: 20 }));
  assert.equal(statuses.at(-1), 200);
  assert.equal((await much).choices.length, prompts.length);
  await Promise.all(asked);
  assert.ok(await busy.metric('longrun:requests_rejected_total', 'reason="queue_full"') >= 1);
});
