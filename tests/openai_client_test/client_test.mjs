// What `longrun serve` answers, as OpenAI's own client reads it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { CONTEXT, MODEL, OpenAI, Server } from './server.mjs';

let server, client;
before(async () => {
  server = await Server.start();
  client = server.client();
});
after(async () => assert.equal(await server.stop(), 0));

// An answer whose length is sure: random weights may end a text at any token.
const chat = (more) => client.chat.completions.create({
  model: MODEL, messages: [{ role: 'user', content: 'Say it.' }], max_tokens: 24, temperature: 0,
  ignore_eos: true, ...more,
});
const complete = (more) => client.completions.create({
  model: MODEL, prompt: 'Never trust', max_tokens: 24, temperature: 0, ignore_eos: true, ...more,
});
const gather = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};
const textOf = (chunks, choice = 0) => chunks.flatMap((chunk) => chunk.choices)
  .filter((c) => c.index === choice).map((c) => c.delta.content ?? '').join('');
const assertSum = (usage) =>
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);

test('models are listed and found by name', async () => {
  const models = await gather(await client.models.list());
  assert.deepEqual(models.map((model) => model.id), [MODEL]);
  const one = await client.models.retrieve(MODEL);
  assert.deepEqual(one, models[0]);
  assert.equal(one.object, 'model');
  assert.equal(one.max_model_len, CONTEXT);
  assert.ok(Math.abs(one.created - Date.now() / 1000) < 300);
});

test('a chat has an answer, its end and its usage', async () => {
  const answer = await chat();
  assert.match(answer.id, /^chatcmpl-/);
  assert.match(answer._request_id, /^req_/);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, MODEL);
  assert.equal(answer.choices.length, 1);
  const [choice] = answer.choices;
  assert.equal(choice.index, 0);
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content.length > 0);
  assert.equal(choice.finish_reason, 'length');
  assert.equal(answer.usage.completion_tokens, 24);
  assert.ok(answer.usage.prompt_tokens > 'Say it.'.length / 2);
  assertSum(answer.usage);
});

test('a system message is part of the prompt, and parts of text are its text', async () => {
  const user = { role: 'user', content: 'Say it.' };
  const parts = {
    role: 'user', content: [{ type: 'text', text: 'Say ' }, { type: 'text', text: 'it.' }],
  };
  const system = { role: 'system', content: 'You are brief.' };
  const alone = await chat();
  const inParts = await chat({ messages: [parts] });
  assert.equal(inParts.choices[0].message.content, alone.choices[0].message.content);
  assert.equal(inParts.usage.prompt_tokens, alone.usage.prompt_tokens);
  const both = await chat({ messages: [system, user] });
  assert.ok(both.usage.prompt_tokens >= alone.usage.prompt_tokens + 7);
  const developer = await chat({ messages: [{ ...system, role: 'developer' }, user] });
  assert.equal(developer.usage.prompt_tokens, both.usage.prompt_tokens);
  const spoken = { role: 'assistant', content: 'It.' };
  const talk = await chat({ messages: [system, user, spoken, user] });
  assert.ok(talk.usage.prompt_tokens > both.usage.prompt_tokens);
});

test('a streamed chat is the whole one in order, then its end, then its usage', async () => {
  const sampled = { temperature: 1, seed: 11, max_tokens: 200 };
  const whole = await chat(sampled);
  const chunks = await gather(
    await chat({ ...sampled, stream: true, stream_options: { include_usage: true } }));
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  for (const chunk of chunks) assert.equal(chunk.object, 'chat.completion.chunk');
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(textOf(chunks), whole.choices[0].message.content);
  assert.ok(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length > 20);

  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.deepEqual({ ...last.usage, prompt_tokens_details: null },
    { ...whole.usage, prompt_tokens_details: null });
  const ends = chunks.map((chunk) => chunk.choices[0].finish_reason);
  assert.equal(ends.pop(), 'length');
  assert.ok(ends.every((end) => end === null));
  assert.ok(chunks.every((chunk) => chunk.usage === null));

  const plain = await gather(await chat({ ...sampled, stream: true }));
  assert.equal(textOf(plain), whole.choices[0].message.content);
  assert.ok(plain.every((chunk) => chunk.choices.length === 1 && !('usage' in chunk)));
});

test('logprobs of a streamed chat spell its text, token by token', async () => {
  const chunks = await gather(await chat({ stream: true, logprobs: true, top_logprobs: 2 }));
  const tokens = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
  assert.equal(tokens.length, 24);
  const bytes = Buffer.from(tokens.flatMap((token) => token.bytes));
  assert.equal(bytes.toString(), textOf(chunks));
  for (const { logprob, top_logprobs: top } of tokens) {
    assert.equal(top.length, 2);
    assert.equal(top[0].logprob, logprob);  // at temperature 0 the likeliest is taken
    assert.ok(0 >= top[0].logprob && top[0].logprob >= top[1].logprob);
  }
});

test("the client's own accumulation of a stream with two choices", async () => {
  const sampled = { n: 2, temperature: 1, seed: 5, logprobs: true };
  const whole = await chat(sampled);
  const streamed = await client.chat.completions.stream({
    model: MODEL, messages: [{ role: 'user', content: 'Say it.' }], max_tokens: 24,
    ignore_eos: true, ...sampled,
  }).finalChatCompletion();
  assert.deepEqual(streamed.choices.map((choice) => choice.message.content),
    whole.choices.map((choice) => choice.message.content));
  assert.notEqual(whole.choices[0].message.content, whole.choices[1].message.content);
});

test('completions: several choices, and a seed that brings them back', async () => {
  const wanted = { n: 3, temperature: 1, seed: 42 };
  const first = await complete(wanted);
  assert.match(first.id, /^cmpl-/);
  assert.equal(first.object, 'text_completion');
  assert.deepEqual(first.choices.map((choice) => choice.index), [0, 1, 2]);
  assert.equal(new Set(first.choices.map((choice) => choice.text)).size, 3);
  assert.equal(first.usage.completion_tokens, 3 * 24);
  assertSum(first.usage);
  const again = await complete(wanted);
  assert.deepEqual(again.choices, first.choices);
  const other = await complete({ ...wanted, seed: 43 });
  assert.notDeepEqual(other.choices, first.choices);
  const unseeded = await Promise.all([0, 1].map(() => complete({ temperature: 1 })));
  assert.notEqual(unseeded[0].choices[0].text, unseeded[1].choices[0].text);
});

test('completions of several prompts, of texts and of tokens', async () => {
  const prompts = ['Never trust', 'Always test', 'Never trust'];
  const answer = await complete({ prompt: prompts });
  const texts = answer.choices.map((choice) => choice.text);
  assert.equal(texts[0], texts[2]);
  assert.equal(texts[1], (await complete({ prompt: prompts[1] })).choices[0].text);
  const { tokens } = await client.post(server.url + '/tokenize', { body: { prompt: prompts[0] } });
  assert.equal((await complete({ prompt: tokens })).choices[0].text, texts[0]);
});

test('an echoed prompt stands before the answer, its logprobs too', async () => {
  const plain = await complete({ logprobs: 2 });
  const echoed = await complete({ logprobs: 2, echo: true });
  assert.equal(echoed.choices[0].text, 'Never trust' + plain.choices[0].text);
  const all = echoed.choices[0].logprobs;
  const own = plain.choices[0].logprobs;
  const prompt = all.tokens.length - own.tokens.length;
  assert.equal(own.tokens.length, 24);
  assert.equal(all.tokens.slice(0, prompt).join(''), 'Never trust');
  assert.equal(prompt, plain.usage.prompt_tokens);
  assert.equal(all.token_logprobs[0], null);
  assert.ok(all.token_logprobs.slice(1).every((logprob) => logprob <= 0));
  assert.deepEqual(all.text_offset.slice(0, 3), [0, 1, 2]);
  assert.ok(own.top_logprobs.every((top) => Object.keys(top).length >= 1));
  own.token_logprobs.forEach((logprob, i) =>
    assert.ok(Math.abs(logprob - all.token_logprobs[prompt + i]) < 1e-3));

  const scored = await complete({ logprobs: 0, echo: true, max_tokens: 0 });
  assert.equal(scored.choices[0].text, 'Never trust');
  assert.equal(scored.choices[0].logprobs.tokens.length, prompt);
  assert.equal(scored.usage.completion_tokens, 0);
});

test('a stop string ends the text before it, streamed or not', async () => {
  const { text } = (await complete({ max_tokens: 60 })).choices[0];
  const stop = text.slice(5).match(/[!-~]{2}/)[0];
  const before = text.slice(0, text.indexOf(stop));
  const stopped = await complete({ max_tokens: 60, stop });
  assert.equal(stopped.choices[0].text, before);
  assert.equal(stopped.choices[0].finish_reason, 'stop');
  assert.ok(stopped.usage.completion_tokens < 60);
  const either = await complete({ max_tokens: 60, stop: ['no such thing', stop] });
  assert.equal(either.choices[0].text, before);
  const chunks = await gather(await complete({ max_tokens: 60, stop, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), before);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

test('embeddings have length 1 and are the same as numbers and as base64', async () => {
  const input = ['Never trust', 'Always test', 'Never trust'];
  const asFloats = await client.embeddings.create(
    { model: MODEL, input, encoding_format: 'float' });
  assert.deepEqual(asFloats.data.map((one) => one.index), [0, 1, 2]);
  assert.equal(asFloats.usage.prompt_tokens, asFloats.usage.total_tokens);
  const vectors = asFloats.data.map((one) => one.embedding);
  for (const vector of vectors) {
    assert.equal(vector.length, 128);
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
  }
  assert.deepEqual(vectors[0], vectors[2]);
  assert.notDeepEqual(vectors[0], vectors[1]);
  // Asked for nothing, the client asks for base64 and decodes it.
  const decoded = await client.embeddings.create({ model: MODEL, input });
  decoded.data.forEach((one, i) =>
    assert.deepEqual([...one.embedding], vectors[i].map(Math.fround)));
  const base64 = await client.embeddings.create(
    { model: MODEL, input: input[0], encoding_format: 'base64' });
  const bytes = Buffer.from(base64.data[0].embedding, 'base64');
  vectors[0].forEach((x, i) => assert.equal(bytes.readFloatLE(4 * i), Math.fround(x)));
});

test('many requests of all kinds at once are answered as each is alone', async () => {
  const kinds = [
    async (i) => (await chat({ seed: i, temperature: 1 })).choices[0].message.content,
    async (i) => textOf(await gather(await chat({ seed: i, temperature: 1, stream: true }))),
    async (i) => (await complete({ prompt: 'x'.repeat(7 * i + 1) })).choices[0].text,
    async (i) => (await client.embeddings.create({ model: MODEL, input: 'y'.repeat(i + 1) }))
      .data[0].embedding.length,
  ];
  const ask = (i) => kinds[i % kinds.length](i);
  const numbers = Array.from({ length: 32 }, (_, i) => i);
  const together = await Promise.all(numbers.map(ask));
  for (const i of numbers) assert.equal(await ask(i), together[i], `request ${i}`);
});

test('feedback on an answer is kept', async () => {
  const answer = await chat({ n: 2, temperature: 1 });
  const told = await client.post('/feedback', {
    body: { completion_id: answer.id, chosen: 1, rejected: 0, comment: 'shorter' },
  });
  assert.equal(told.object, 'feedback');
  const lines = readFileSync(path.join(server.folder, 'feedback.jsonl'), 'utf8').trim().split('\n');
  const record = lines.map((line) => JSON.parse(line)).find((one) => one.id === told.id);
  assert.equal(record.completion_id, answer.id);
  assert.equal(record.model, MODEL);
  assert.deepEqual([record.chosen, record.rejected, record.comment], [1, 0, 'shorter']);
  await assert.rejects(
    client.post('/feedback', { body: { completion_id: 'chatcmpl-unknown', rating: 1 } }),
    (error) => error instanceof OpenAI.NotFoundError && error.param === 'completion_id');
});
