"""What somebody else wrote, in lines for a terminal, where a prompt or name of a file is data."""

# What moves a cursor, ends a line or turns the direction of what follows; a tab stays one.
CONTROLS = {*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)}
ESCAPES = {code: ascii(chr(code))[1:-1] for code in CONTROLS - {ord("\t")}}
ESCAPES_OF_LINES = {code: said for code, said in ESCAPES.items() if chr(code) not in "\r\n"}


def escaped(text: str) -> str:
    r"""One line of a text, with every control character as Python writes it, such as \x1b."""
    return text.translate(ESCAPES)


def escaped_lines(text: str) -> str:
    """Lines of a text, escaped as by `escaped`; ends of lines stay."""
    return text.translate(ESCAPES_OF_LINES)
