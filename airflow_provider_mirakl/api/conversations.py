"""Conversations of Mirakl Connect with customers about orders.

Creating and answering one are asynchronous: they return an action's id for :func:`get_conversation_action`.
No call frequency is published for them. Source: Mirakl Connect's API documentation, https://developer.mirakl.com.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from airflow_provider_mirakl.api.call import (
    ANY,
    JSON,
    Call,
    Json,
    Multipart,
    Operation,
    Page,
    Part,
    Reply,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.orders import MAX_LIMIT, action_id_of, checked_limit
from airflow_provider_mirakl.api.paging import seek_list
from airflow_provider_mirakl.exceptions import MiraklInputError

PATH = "/api/conversations"
MAX_FILES = 5
MAX_BODY_LENGTH = 2000
MAX_TOPIC_LENGTH = 500
MAX_ATTACHMENT_IDS = 100

LIST_CONVERSATIONS = Operation("listConversations", "GET", PATH, replay=True, personal=True)
CREATE_CONVERSATION = Operation("createConversation", "POST", PATH, replay=False, personal=True)
GET_MESSAGES = Operation(
    "getConversationMessages", "GET", f"{PATH}/{{conversation_id}}", replay=True, personal=True
)
CREATE_MESSAGE = Operation(
    "createMessage", "POST", f"{PATH}/{{conversation_id}}/messages", replay=False, personal=True
)
DOWNLOAD_ATTACHMENTS = Operation(
    "downloadConversationAttachments",
    "GET",
    f"{PATH}/{{conversation_id}}/attachments",
    replay=True,
    personal=True,
)
GET_CONVERSATION_ACTION = Operation(
    "getConversationActionStatus", "GET", f"{PATH}/actions/{{action_id}}", replay=True, personal=True
)


def list_conversations(
    *,
    updated_from: datetime | None = None,
    conversation_ids: Collection[str] = (),
    order_ids: Collection[str] = (),
    limit: int = MAX_LIMIT,
    page_token: str | None = None,
) -> Call[Page[dict[str, Json]]]:
    """List conversations, the most recently updated first.

    :param updated_from: only those that were updated in Connect at this time or later.
    :param conversation_ids: only these. Mirakl asks for these or ``updated_from``.
    :param order_ids: only those about these orders.
    :param limit: conversations a page, 1 to 100.
    :param page_token: opaque position of a page, from the page before.
    :return: a call that returns one page.
    :raises MiraklInputError: a limit out of range, or neither ``updated_from`` nor ``conversation_ids``.
    """
    checked_limit(limit, LIST_CONVERSATIONS)
    if updated_from is None and not conversation_ids and page_token is None:
        raise MiraklInputError("listConversations needs updated_from or conversation_ids")
    filters = query(
        updated_from=moment(updated_from),
        conversation_ids=list(conversation_ids),
        entity_type="ORDER" if order_ids else None,
        entity_ids=list(order_ids),
        limit=limit,
    )
    return seek_list(LIST_CONVERSATIONS, "data", filters, page_token=page_token)


def get_conversation_messages(
    conversation_id: str, *, message_after: datetime | None = None
) -> Call[list[dict[str, Json]]]:
    """The messages of a conversation, the newest first.

    :param conversation_id: Connect's id of the conversation.
    :param message_after: only messages that arrived in Connect after this time.
    """
    return Call(
        GET_MESSAGES,
        parse=lambda reply: reply.list_of_objects("messages"),
        path=GET_MESSAGES.at(conversation_id=conversation_id),
        params=query(message_after=moment(message_after)),
    )


def download_conversation_attachments(
    conversation_id: str, *, attachment_ids: Collection[str] = ()
) -> Call[bytes]:
    """Attachments of a conversation as a ZIP with a folder for each message. Meant for ``Client.stream``.

    :param conversation_id: Connect's id of the conversation.
    :param attachment_ids: only these, at most 100. Unknown ones are left out.
    :raises MiraklInputError: too many ids.
    """
    if len(attachment_ids) > MAX_ATTACHMENT_IDS:
        raise MiraklInputError(
            f"attachment_ids contains {len(attachment_ids):,} ids; {DOWNLOAD_ATTACHMENTS.code} accepts "
            f"{MAX_ATTACHMENT_IDS}"
        )
    return Call(
        DOWNLOAD_ATTACHMENTS,
        parse=lambda reply: reply.body,
        path=DOWNLOAD_ATTACHMENTS.at(conversation_id=conversation_id),
        params=query(attachment_ids=list(attachment_ids)),
        accept=ANY,
    )


def create_conversation(order_id: str, *, topic: str, body: str, files: Sequence[Part] = ()) -> Call[str]:
    """Begin a conversation with the customer of an order.

    :param order_id: Connect's id of the order.
    :param topic: its topic, at most 500 characters.
    :param body: the first message, 1 to 2,000 characters.
    :param files: at most 5 attachments, each a part with a ``file_name``.
    :return: a call that returns the action's id.
    :raises MiraklInputError: a text that is too long or empty, or too many files.
    """
    if len(topic) > MAX_TOPIC_LENGTH:
        raise MiraklInputError(f"topic has {len(topic):,} characters; Mirakl accepts {MAX_TOPIC_LENGTH}")
    conversation = {
        "entity": {"type": "ORDER", "id": order_id},
        "topic": {"type": "FREE_TEXT", "value": topic},
        "first_message": _message(body),
    }
    return Call(CREATE_CONVERSATION, parse=action_id_of, body=_form("conversation", conversation, files))


def create_message(conversation_id: str, *, body: str, files: Sequence[Part] = ()) -> Call[str]:
    """Answer the customer in a conversation.

    :param conversation_id: Connect's id of the conversation.
    :param body: the message, 1 to 2,000 characters.
    :param files: at most 5 attachments, each a part with a ``file_name``.
    :return: a call that returns the action's id.
    :raises MiraklInputError: a text that is too long or empty, or too many files.
    """
    return Call(
        CREATE_MESSAGE,
        parse=action_id_of,
        path=CREATE_MESSAGE.at(conversation_id=conversation_id),
        body=_form("message_input", _message(body), files),
    )


def get_conversation_action(action_id: str) -> Call[dict[str, Json]]:
    """Get the status of an action on conversations: ``PENDING``, ``SUCCESS`` or ``ERROR`` with ``errors``.

    :param action_id: as an operation gave it.
    """
    return Call(
        GET_CONVERSATION_ACTION,
        parse=Reply.state,
        path=GET_CONVERSATION_ACTION.at(action_id=action_id),
    )


def _message(body: str) -> dict[str, Json]:
    if not 1 <= len(body) <= MAX_BODY_LENGTH:
        raise MiraklInputError(f"body has {len(body):,} characters; Mirakl accepts 1 to {MAX_BODY_LENGTH:,}")
    return {"body": body}


def _form(name: str, value: Mapping[str, object], files: Sequence[Part]) -> Multipart:
    if len(files) > MAX_FILES:
        raise MiraklInputError(f"{len(files)} files; Mirakl accepts {MAX_FILES} with one message")
    return Multipart((Part(name, encode(value), content_type=JSON), *files))
