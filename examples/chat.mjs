// A chat with a model that `longrun serve` serves, by OpenAI's own client.
//
//   npm install openai
//   node examples/chat.mjs [URL] ['What to say']
import OpenAI from "openai";

const [url = "http://127.0.0.1:8000", said = "Never trust"] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: process.env.OPENAI_API_KEY ?? "none" });
const [model] = (await client.models.list()).data;
const stream = await client.chat.completions.create({
  model: model.id,
  messages: [{ role: "user", content: said }],
  max_tokens: 60,
  seed: 7,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
  if (chunk.usage) console.log("\n", chunk.usage);
}
