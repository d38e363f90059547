"""The names of fields and columns that data sets and exports use, in small letters, the likeliest first."""

from __future__ import annotations

ASKED = ("prompt", "question", "instruction", "context", "input", "query", "user", "human", "problem")
ANSWERED = (
    "response",
    "output",
    "answer",
    "completion",
    "chosen",
    "assistant",
    "reply",
    "gpt",
    "bot",
    "model",
    "target",
)
LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "turns", "contents", "items")
SENDERS = (
    "sender_name",
    "sender",
    "sender name",
    "from_name",
    "from",
    "author",
    "username",
    "user_name",
    "user name",
    "speaker",
    "nickname",
    "display_name",
    "talker",
    "who",
    "user",
    "sent_by",
    "participant",
    "name",
)
TEXTS = ("content", "text", "message", "msg", "body", "contents", "message_text", "message_body", "value", "utterance")
TIMES = (
    "time",
    "timestamp",
    "date",
    "created_at",
    "datetime",
    "ts",
    "timestamp_ms",
    "sent_at",
    "createtime",
    "created",
    "date_sent",
)
GROUPS = (
    "conversation id",
    "conversation_id",
    "thread_id",
    "channel_id",
    "chat_id",
    "room_id",
    "thread",
    "dialog_id",
    "chat",
    "channel",
)
MINE = ("is_sender", "is_from_me", "from_me", "fromme", "issender", "is_mine", "outgoing", "is_outgoing")
WRAPPERS = (
    "data",
    "items",
    "examples",
    "rows",
    "records",
    "train",
    "instances",
    "samples",
    "messages",
    "entries",
    "results",
    "dataset",
)
ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "instruction", "customer", "usr", "question"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "bot", "chatgpt", "ai", "agent", "answer", "chatbot", "bing", "bard"), "assistant"
    ),
    **dict.fromkeys(
        (
            "system",
            "developer",
            "tool",
            "function",
            "function_call",
            "observation",
            "tool_call",
            "tool_response",
            "ipython",
            "environment",
            "context",
        ),
        "",
    ),
}
UNDERSTOOD = (
    f"a response ({', '.join(ANSWERED[:4])}) with or without a prompt ({', '.join(ASKED[:5])}), messages, or text"
)
