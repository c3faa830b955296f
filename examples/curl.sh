#!/bin/sh
# Paifang with curl: models, an answer with its headers, a stream, an error.
#
#   export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-pf-…
#   sh examples/curl.sh

set -eu

ask() {
    curl --silent --show-error --no-buffer "$@" "$OPENAI_BASE_URL/chat/completions" \
        --header "Authorization: Bearer $OPENAI_API_KEY" --header "Content-Type: application/json"
    echo
}

echo "models:"
curl --silent --show-error "$OPENAI_BASE_URL/models" --header "Authorization: Bearer $OPENAI_API_KEY"
echo

echo "answer:"
ask --include --data '{"model": "doubao-seed", "messages": [{"role": "user", "content": "Hello"}]}'

echo "stream:"
ask --data '{"model": "doubao-seed", "messages": [{"role": "user", "content": "Hello"}],
    "stream": true, "stream_options": {"include_usage": true}}'

echo "error:"
ask --data '{"model": "no-such-model", "messages": [{"role": "user", "content": "Hello"}]}'
