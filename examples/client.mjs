// The OpenAI SDK for Node against Paifang: an answer, a stream, an error.
//
//   npm install openai
//   export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-pf-…
//   node examples/client.mjs

import OpenAI from "openai";

const client = new OpenAI(); // reads OPENAI_BASE_URL and OPENAI_API_KEY
const messages = [{ role: "user", content: "Say hello in three languages." }];

const answer = await client.chat.completions.create({ model: "doubao-seed", messages });
console.log("answer:", answer.choices[0].message.content);
console.log("cost:", answer.usage.cost, answer.usage.currency);

process.stdout.write("stream: ");
for await (const chunk of await client.chat.completions.create({ model: "doubao-seed", messages, stream: true })) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}
console.log();

try {
  await client.chat.completions.create({ model: "no-such-model", messages });
} catch (error) {
  console.log("error:", error.status, error.code);
}
