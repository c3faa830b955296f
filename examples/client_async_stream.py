"""Several streams at once with the asynchronous OpenAI SDK; reasoning is told apart from the answer.

    pip install openai
    export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-pf-…
    python examples/client_async_stream.py
"""

import asyncio

import openai

client = openai.AsyncOpenAI()


async def ask(question: str) -> None:
    stream = await client.chat.completions.create(
        model="doubao-seed",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"enable_thinking": True},
    )
    reasoning, text, tokens = "", "", 0
    async for chunk in stream:
        if chunk.usage:
            tokens = chunk.usage.completion_tokens
        for choice in chunk.choices:
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            text += choice.delta.content or ""
    print(f"{question}\n  thought: {len(reasoning)} characters\n  said: {text}\n  tokens: {tokens}")


async def main() -> None:
    await asyncio.gather(*(ask(f"What is {number} squared?") for number in (3, 4, 5)))


asyncio.run(main())
