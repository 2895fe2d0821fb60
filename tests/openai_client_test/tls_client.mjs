// Run by endings_test.mjs, since a process learns at its start whom to trust: asks the server at
// $LONGRUN_URL over TLS and prints what it heard.
import { createRequire } from 'node:module';
import path from 'node:path';

const OpenAI = createRequire(path.join(process.env.LONGRUN_NODE, 'client'))('openai');
const client = new OpenAI({ apiKey: 'sk-any', baseURL: process.env.LONGRUN_URL + '/v1' });

const models = (await client.models.list()).data.map((model) => model.id);
const request = {
  model: models[0], messages: [{ role: 'user', content: 'Say it.' }], max_tokens: 300, seed: 3,
};
const whole = (await client.chat.completions.create(request)).choices[0].message.content;
let streamed = '';
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  streamed += chunk.choices[0].delta.content ?? '';
}
console.log(JSON.stringify({ models, whole, streamed }));
