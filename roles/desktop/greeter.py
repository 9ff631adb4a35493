"""The greeter's words in Vietnamese, which its package has in fifty languages but not in this one."""

from __future__ import annotations

import struct

CATALOGUE = "/usr/share/locale/vi/LC_MESSAGES/lightdm-gtk-greeter.mo"
_HEADER = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n"
_MAGIC = 0x950412DE
WORDS = {
    "Are you sure you want to close all programs and restart the computer?": "Đóng mọi chương trình, khởi động lại?",
    "Are you sure you want to close all programs and shut down the computer?": "Đóng mọi chương trình, tắt máy?",
    "Cancel": "Huỷ",
    "Enter your password": "Nhập mật khẩu",
    "Enter your username": "Nhập tên đăng nhập",
    "Failed to authenticate": "Không đăng nhập được",
    "Failed to start session": "Không mở được phiên làm việc",
    "Hibernate": "Ngủ đông",
    "High Contrast": "Tương phản cao",
    "Incorrect password, please try again": "Mật khẩu không đúng, hãy nhập lại",
    "Large Text": "Chữ to",
    "Log In": "Đăng nhập",
    "Other": "Người khác",
    "Other...": "Người khác…",
    "Restart": "Khởi động lại",
    "Restart...": "Khởi động lại…",
    "Shut Down": "Tắt máy",
    "Shut Down...": "Tắt máy…",
    "Suspend": "Tạm nghỉ",
    "Unlock": "Mở khoá",
    "Your password is incorrect. Please try again.": "Mật khẩu không đúng, hãy nhập lại.",
}


def catalogue() -> bytes:
    """The words as gettext reads them (its manual, "The Format of GNU MO Files"): the same bytes each time."""
    pairs = sorted((key.encode(), word.encode()) for key, word in {"": _HEADER, **WORDS}.items())
    tables = 28 + 16 * len(pairs)
    texts = [key for key, _ in pairs] + [word for _, word in pairs]
    places, at = [], tables
    for text in texts:
        places.append(struct.pack("<II", len(text), at))
        at += len(text) + 1
    head = struct.pack("<7I", _MAGIC, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, tables)
    return head + b"".join(places) + b"".join(text + b"\0" for text in texts)
