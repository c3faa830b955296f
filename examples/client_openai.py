"""The OpenAI SDK against Paifang: models, an answer, a stream with its cost, and an error.

    pip install openai
    export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-pf-…
    python examples/client_openai.py
"""

import openai

client = openai.OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY

print("models:", ", ".join(model.id for model in client.models.list()))

question = [{"role": "user", "content": "Say hello in three languages."}]
answer = client.chat.completions.create(model="doubao-seed", messages=question)
print("answer:", answer.choices[0].message.content)
print("cost:", answer.usage.cost, answer.usage.currency)

print("stream: ", end="")
for chunk in client.chat.completions.create(
    model="doubao-seed", messages=question, stream=True, stream_options={"include_usage": True}
):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    elif chunk.usage:
        print("\nstream cost:", chunk.usage.cost, chunk.usage.currency)

raw = client.chat.completions.with_raw_response.create(model="doubao-seed", messages=question)
print("route:", raw.headers["x-paifang-route"], "attempts:", raw.headers["x-paifang-attempts"])

try:
    client.chat.completions.create(model="no-such-model", messages=question)
except openai.NotFoundError as error:
    print("error:", error.code, error.param)
