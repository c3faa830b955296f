"""The adapter of a family: OpenAI's dialect, with what its profile says."""

from __future__ import annotations

from pydantic import BaseModel

from adapters.embeddings import openai_embeddings
from adapters.one_post import AnswerReader, OnePost
from adapters.openai_chat import post
from adapters.openai_errors import ErrorForm
from adapters.openai_stream import ChatReader, Dialect
from adapters.profile import Profile
from adapters.profile_answer import MendingReader, steps_of
from adapters.profile_errors import error_of, unwrapped
from adapters.profile_options import MiniMaxOptions, ProfileOptions
from adapters.profile_request import fits, profile_body, streams
from proxy import ChatRequest, Exchange, Target


class ProfiledChat:
    """One family. What its profile says of errors is compiled once."""

    simulated = False
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.name = profile.name
        self.base_url: str | None = profile.base_url
        self.signer = profile.signer
        self.options: type[BaseModel] = profile.options
        self._dialect = Dialect(
            error=error_of(profile.errors),
            form=ErrorForm(
                unwrap=unwrapped(profile.error_members) if profile.error_members else None,
                request_id_headers=profile.request_id_headers,
                request_id_members=profile.request_id_members,
                retry_after_member=profile.retry_after_member,
            ),
        )

    def place(self, options: BaseModel) -> str:
        """The base URL of the platform that the options name."""
        assert isinstance(options, ProfileOptions)
        at_home = options.place == "cn" or self.profile.intl_url is None
        return self.profile.base_url if at_home else self.profile.intl_url or ""

    def signed_by(self, options: BaseModel) -> str:
        """The signer that the options name."""
        assert isinstance(options, ProfileOptions)
        return self.profile.signers.get(options.auth_way, self.profile.signer)

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        profile, options, model = self.profile, target.options, target.upstream_model
        assert isinstance(options, ProfileOptions)
        body, dropped = profile_body(chat, target, profile, options)
        path = options.path or next((path for models, path in profile.paths if fits(models, model)), "/chat/completions")
        send = post(path, body, stream=streams(chat, profile, options, model))
        cumulative = isinstance(options, MiniMaxOptions) and options.cumulative_text
        steps, all_texts = steps_of(profile, model, cumulative=cumulative)
        reader: AnswerReader
        if steps:
            reader = MendingReader(chat, self._dialect, steps, all_texts=all_texts)
        else:
            reader = ChatReader(chat, self._dialect)
        return OnePost(send, reader, self._dialect.error, dropped, self._dialect.form)


class ProfiledEmbeddings(ProfiledChat):
    """A family that makes embeddings, too."""

    def open_embeddings(self, chat: ChatRequest, target: Target) -> Exchange:
        return openai_embeddings(chat, target, self._dialect.error, self._dialect.form)


def adapter_of(profile: Profile) -> ProfiledChat:
    """The adapter of a family."""
    return ProfiledEmbeddings(profile) if profile.embeddings else ProfiledChat(profile)
