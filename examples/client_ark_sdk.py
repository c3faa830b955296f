"""Volcengine's own Ark SDK against Paifang: a program written for Ark changes its address and its key.

    pip install volcengine-ark-runtime
    export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-pf-…
    python examples/client_ark_sdk.py
"""

import os

from volcenginesdkarkruntime import Ark

client = Ark(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
question = [{"role": "user", "content": "Say hello."}]

answer = client.chat.completions.create(model="doubao-seed", messages=question)
print("answer:", answer.choices[0].message.content)
print("tokens:", answer.usage.total_tokens)

print("stream: ", end="")
for chunk in client.chat.completions.create(model="doubao-seed", messages=question, stream=True):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
