// Tools, as OpenAI's own client calls them: whatever a model with random weights would rather say,
// a call that must come does, of a tool that there is and by its schema.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { MODEL, OpenAI, Server } from './server.mjs';

let servers;
before(async () => {
  servers = {
    hermes: await Server.start('--chat-template', 'chatml'),
    llama3: await Server.start('--chat-template', 'llama3'),
    mistral: await Server.start('--chat-template', 'chatml', '--tool-format', 'mistral'),
  };
});
after(async () => {
  for (const server of Object.values(servers)) assert.equal(await server.stop(), 0);
});

const tool = (name, properties, description) => ({
  type: 'function',
  function: {
    name, description,
    parameters: {
      type: 'object', properties, required: Object.keys(properties), additionalProperties: false,
    },
  },
});
const tools = [
  tool('get_weather', {
    city: { enum: ['Oslo', 'Lima'] }, days: { type: 'integer', minimum: 1, maximum: 7 },
  }, 'The weather of a city'),
  tool('say', { text: { type: 'string', maxLength: 9 } }),
  { type: 'function', function: { name: 'now' } },
];
const question = { role: 'user', content: 'What is the weather in Oslo?' };
const request = (seed, more) => ({
  model: MODEL, messages: [question], tools, seed, temperature: 1, max_tokens: 1200, ...more,
});
const seeds = Array.from({ length: 6 }, (_, i) => i);
const named = (name) => ({ type: 'function', function: { name } });

function assertCall(call) {
  assert.equal(call.type, 'function');
  const given = JSON.parse(call.function.arguments);
  if (call.function.name === 'get_weather') {
    assert.deepEqual(Object.keys(given), ['city', 'days']);
    assert.ok(['Oslo', 'Lima'].includes(given.city));
    assert.ok(Number.isInteger(given.days) && given.days >= 1 && given.days <= 7);
  } else if (call.function.name === 'say') {
    assert.deepEqual(Object.keys(given), ['text']);
    assert.ok([...given.text].length <= 9);
  } else {
    assert.equal(call.function.name, 'now');
    assert.deepEqual(given, {});
  }
}

for (const format of ['hermes', 'llama3', 'mistral']) {
  test(`${format}: a call is required, of whichever tool`, async () => {
    const client = servers[format].client();
    const answers = await Promise.all(seeds.map((seed) =>
      client.chat.completions.create(request(seed, { tool_choice: 'required' }))));
    const ids = [];
    for (const { choices: [choice] } of answers) {
      assert.equal(choice.finish_reason, 'tool_calls');
      assert.equal(choice.message.content, null);
      assert.ok(choice.message.tool_calls.length >= 1);
      choice.message.tool_calls.forEach(assertCall);
      ids.push(...choice.message.tool_calls.map((call) => call.id));
    }
    assert.equal(new Set(ids).size, ids.length);
    const names = answers.flatMap((answer) => answer.choices[0].message.tool_calls)
      .map((call) => call.function.name);
    assert.ok(new Set(names).size >= 2, names.join());
  });

  test(`${format}: a tool that is named is called, once`, async () => {
    const client = servers[format].client();
    for (const name of ['get_weather', 'say', 'now']) {
      const { choices: [choice] } = await client.chat.completions.create(
        request(1, { tool_choice: named(name) }));
      assert.equal(choice.finish_reason, 'tool_calls');
      assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), [name]);
      choice.message.tool_calls.forEach(assertCall);
    }
  });

  test(`${format}: a stream adds up to the whole answer`, async () => {
    const client = servers[format].client();
    for (const seed of seeds) {
      const wanted = request(seed, { tool_choice: 'required', parallel_tool_calls: seed % 2 === 0 });
      const whole = (await client.chat.completions.create(wanted)).choices[0];
      const stream = client.chat.completions.stream(wanted);
      const deltas = [];
      for await (const chunk of stream) {
        deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
      }
      const streamed = (await stream.finalChatCompletion()).choices[0];
      const said = (choice) => choice.message.tool_calls.map((call) => call.function)
        .map(({ name, arguments: given }) => [name, given]);
      assert.deepEqual(said(streamed), said(whole));
      assert.equal(streamed.finish_reason, 'tool_calls');
      assert.equal(streamed.message.content, null);
      // Each call begins with its id and name, and says them once.
      for (const [index, call] of streamed.message.tool_calls.entries()) {
        const own = deltas.filter((delta) => delta.index === index);
        assert.equal(own[0].id, call.id);
        assert.equal(own[0].function.name, call.function.name);
        assert.ok(own.slice(1).every((delta) => !delta.id && !delta.function.name));
      }
      if (seed % 2 === 1) assert.equal(streamed.message.tool_calls.length, 1);
    }
  });

  test(`${format}: a tool's result is part of the conversation`, async () => {
    const client = servers[format].client();
    const { choices: [{ message }] } = await client.chat.completions.create(
      request(2, { tool_choice: named('get_weather') }));
    const result = (content) =>
      ({ role: 'tool', tool_call_id: message.tool_calls[0].id, content });
    const ask = async (...more) => (await client.chat.completions.create(
      request(3, { messages: [question, message, ...more], max_tokens: 8, ignore_eos: true })));
    const short = await ask(result('sun'));
    const long = await ask(result('sun and rain'));
    assert.ok(long.usage.prompt_tokens > short.usage.prompt_tokens);
    const without = await client.chat.completions.create(
      request(3, { max_tokens: 8, ignore_eos: true }));
    assert.ok(short.usage.prompt_tokens > without.usage.prompt_tokens + 'get_weather'.length);
  });
}

test('with none and auto a model that calls nothing answers with text', async () => {
  const client = servers.hermes.client();
  const sampled = { max_tokens: 30, ignore_eos: true };
  const none = await client.chat.completions.create(request(4, { ...sampled, tool_choice: 'none' }));
  const plain = await client.chat.completions.create(request(4, { ...sampled, tools: undefined }));
  assert.equal(none.choices[0].message.content, plain.choices[0].message.content);
  const auto = await client.chat.completions.create(request(4, sampled));
  assert.ok(auto.usage.prompt_tokens > none.usage.prompt_tokens + 200);
  assert.equal(auto.choices[0].message.tool_calls, undefined);
  assert.ok(auto.choices[0].message.content.length > 0);
});

test('an answer in JSON may be a call instead', async () => {
  const client = servers.hermes.client();
  const format = {
    type: 'json_schema',
    json_schema: {
      name: 'answer',
      schema: {
        type: 'object', properties: { sunny: { type: 'boolean' } }, required: ['sunny'],
        additionalProperties: false,
      },
    },
  };
  const answers = await Promise.all(seeds.concat(seeds.map((seed) => seed + 100)).map((seed) =>
    client.chat.completions.create(request(seed, { response_format: format }))));
  for (const { choices: [choice] } of answers) {
    if (choice.finish_reason === 'tool_calls') {
      choice.message.tool_calls.forEach(assertCall);
      assert.equal(choice.message.content, null);
    } else {
      assert.equal(choice.finish_reason, 'stop');
      assert.equal(typeof JSON.parse(choice.message.content).sunny, 'boolean');
    }
  }
});

test("the client's own loop of calls and results", async () => {
  const asked = [];
  const runner = servers.hermes.client().chat.completions.runTools({
    ...request(5, { tool_choice: named('get_weather') }),
    tools: [{
      type: 'function',
      function: {
        ...tools[0].function, parse: JSON.parse,
        function: (given) => {
          asked.push(given);
          return 'sunny';
        },
      },
    }],
  }, { maxChatCompletions: 1 });
  await runner.done();
  assert.equal(asked.length, 1);
  assert.ok(['Oslo', 'Lima'].includes(asked[0].city));
});

test('what is wrong with tools is named', async () => {
  const cases = [
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools[0].function.name'],
    [{ tool_choice: named('nobody') }, 'tool_choice'],
    [{ messages: [question, { role: 'tool', tool_call_id: 'x', content: '' }] },
      'messages[1].tool_call_id'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ tool_choice: 'required', tools: [tool('f', { x: { not: {} } })] }, 'tools'],
  ];
  for (const [wrong, param] of cases) {
    await assert.rejects(servers.hermes.client().chat.completions.create(request(0, wrong)),
      (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  }
});
