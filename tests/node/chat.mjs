// What the OpenAI SDK for Node makes of the gateway's answers, as one JSON object on standard output.
// node chat.mjs BASE_URL KEY

import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const useTool = [{ role: "user", content: "use get_weather" }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

async function create(model) {
  const { data, response, request_id } = await client.chat.completions.create({ model, messages }).withResponse();
  return {
    model: data.model,
    text: data.choices[0].message.content,
    finish: data.choices[0].finish_reason,
    total: data.usage.total_tokens === data.usage.prompt_tokens + data.usage.completion_tokens,
    tracked: data.usage.tracked,
    cost: data.usage.cost > 0,
    route: response.headers.get("x-paifang-route"),
    id: request_id.startsWith("req_"),
  };
}

async function stream(model) {
  const chunks = [];
  const options = { include_usage: true };
  for await (const chunk of await client.chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: options,
  })) {
    chunks.push(chunk);
  }
  const last = chunks.pop();
  return {
    models: [...new Set(chunks.map((chunk) => chunk.model))],
    text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""),
    usage: last.choices.length === 0 && last.usage.completion_tokens > 0,
  };
}

async function helper(model) {
  const runner = client.chat.completions.stream({ model, messages: useTool, tools });
  const [call] = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
  return { name: call.function.name, members: Object.keys(JSON.parse(call.function.arguments)) };
}

async function left(model) {
  const answer = await client.chat.completions.create({ model, messages, stream: true });
  for await (const chunk of answer) {
    if (chunk.choices[0]?.delta.content) break;
  }
  return answer.controller.signal.aborted;
}

async function refused(change, options) {
  try {
    await client.withOptions(options ?? {}).chat.completions.create({ model: "doubao-seed", messages, ...change });
    return null;
  } catch (error) {
    const { name } = error.constructor;
    return { name, status: error.status, code: error.code, type: error.type, param: error.param };
  }
}

async function listed() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return ids;
}

console.log(
  JSON.stringify({
    created: [await create("doubao-seed"), await create("messages"), await create("responses"), await create("relayed")],
    streamed: [await stream("doubao-seed"), await stream("messages"), await stream("responses"), await stream("relayed")],
    tools: [
      await helper("doubao-seed"),
      await helper("messages"),
      await helper("responses"),
      await helper("relayed"),
      await helper("simulated"),
    ],
    left: await left("relayed"),
    refused: [
      await refused({}, { apiKey: "sk-pf-wrong" }),
      await refused({ model: "gpt-17" }),
      await refused({ temperature: 3 }),
    ],
    models: await listed(),
  }),
);
