// Streams that end early or late: a client that goes, a server that is told to stop; and TLS.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { CONTEXT, MODEL, OpenAI, Server, until } from './server.mjs';

// Takes a second or more.
const longAnswer = (client, more = {}, options = {}) => client.chat.completions.create({
  model: MODEL, messages: [{ role: 'user', content: 'Go on.' }], max_tokens: CONTEXT - 100,
  ignore_eos: true, stream: true, ...more,
}, options);

const nothingRuns = (server) => until('nothing runs', async () =>
  await server.metric('vllm:num_requests_running') === 0 &&
  await server.metric('vllm:num_requests_waiting') === 0 &&
  await server.metric('vllm:kv_cache_usage_perc') === 0);

// Its fetch may forget whom to tell of an abort once garbage was collected.
const aborts = { skip: Number(process.versions.node.split('.')[0]) < 20 && 'needs Node.js 20' };

// Four streams of two choices each, all under way; then `leave` is called in each one's loop.
async function startAndLeave(server, leave) {
  const client = server.client();
  const left = Array.from({ length: 4 }, async () => {
    const controller = new AbortController();
    const stream = await longAnswer(client, { n: 2 }, { signal: controller.signal });
    let heard = 0;
    for await (const chunk of stream) {
      heard += chunk.choices.length;
      if (heard >= 8 && leave(controller)) break;
    }
    assert.ok(heard < CONTEXT);
  });
  await Promise.all(left);
}

test('clients that leave a stream free what they held', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  await startAndLeave(server, () => true);
  await nothingRuns(server);
  assert.equal(await server.metric('vllm:request_success_total', 'finished_reason="abort"'), 4);
});

test('clients that abort free what they held', aborts, async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  await startAndLeave(server, (controller) => controller.abort());
  await nothingRuns(server);
  assert.equal(await server.metric('vllm:request_success_total', 'finished_reason="abort"'), 4);

  // One that waits for the whole answer.
  const controller = new AbortController();
  const whole = longAnswer(server.client(), { stream: false }, { signal: controller.signal });
  await until('it runs', async () => await server.metric('vllm:num_requests_running') > 0);
  controller.abort();
  await assert.rejects(whole, OpenAI.APIUserAbortError);
  await nothingRuns(server);
  assert.equal(await server.metric('vllm:request_success_total', 'finished_reason="abort"'), 5);
});

test('a client whose patience ends frees what it held, at each try', aborts, async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const impatient = server.client({ timeout: 100, maxRetries: 1 });
  await assert.rejects(longAnswer(impatient, { stream: false }), OpenAI.APIConnectionTimeoutError);
  await nothingRuns(server);
});

test('told to stop, the server finishes the stream and takes nothing new', async () => {
  const server = await Server.start('--drain', '60s');
  const client = server.client();
  const stream = await longAnswer(client, { stream_options: { include_usage: true } });
  const chunks = [];
  let refusal, code;
  for await (const chunk of stream) {
    chunks.push(chunk);
    if (chunks.length !== 3) continue;
    code = server.stop();
    refusal = await until('it stops', () => client.chat.completions.create(
      { model: MODEL, messages: [{ role: 'user', content: 'And I?' }], max_tokens: 1 })
      .then(() => null, (error) => error));
  }
  assert.equal(chunks.at(-1).usage.completion_tokens, CONTEXT - 100);
  assert.equal(chunks.at(-2).choices[0].finish_reason, 'length');
  assert.equal(await code, 0);
  assert.ok(refusal instanceof OpenAI.InternalServerError, `${refusal}`);
  assert.equal(refusal.status, 503);
  assert.match(refusal.message, /stopping/);
  await assert.rejects(client.models.list(), OpenAI.APIConnectionError);
});

test('told to stop for want of time, the server says so in the stream', async () => {
  const server = await Server.start('--drain', '50ms');
  const stream = await longAnswer(server.client(), { n: 8 });
  let heard = 0;
  await assert.rejects(async () => {
    for await (const chunk of stream) {
      heard += chunk.choices.length;
      if (heard === 1) server.stop();
    }
  }, (error) => error instanceof OpenAI.APIError && /stopping/.test(error.message));
  const [code] = await server.ended;
  assert.equal(code, 0);
});

test('TLS, with a certificate that the client is told to trust', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const certificate = path.join(server.folder, 'certificate.pem');
  const key = path.join(server.folder, 'key.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-days', '2', '-subj', '/CN=longrun', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const secure = await Server.start('--tls-certificate', certificate, '--tls-key', key);
  t.after(() => secure.stop());
  assert.match(secure.url, /^https:/);
  await assert.rejects(secure.client().models.list(), OpenAI.APIConnectionError);

  const script = fileURLToPath(new URL('tls_client.mjs', import.meta.url));
  const child = spawnSync(process.execPath, [script], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate, LONGRUN_URL: secure.url },
    encoding: 'utf8', timeout: 60_000,
  });
  assert.equal(child.status, 0, child.stderr);
  const said = JSON.parse(child.stdout);
  assert.deepEqual(said.models, [MODEL]);
  assert.equal(said.whole, said.streamed);
});
