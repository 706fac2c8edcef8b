"""A page as its elements: fails where tags are not balanced."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br"}
_BLOCKS = {"dd", "div", "h2", "h3", "li", "ol", "p", "pre", "section", "summary", "td", "ul"}


class Page(HTMLParser):
    """elements: (tag, attributes) in order. texts: the text of each element with those inside it, blocks on lines of
    their own."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self._pieces: list[list[str]] = []
        self._open: list[tuple[str, int]] = []
        self.feed(text)
        self.close()
        self.texts = ["".join(pieces) for pieces in self._pieces]
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _value in attrs}) == len(attrs), f"an attribute twice: {tag} {attrs}"
        self.elements.append((tag, dict(attrs)))
        self._pieces.append([])
        if tag in _BLOCKS:
            self.handle_data("\n")
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._pieces.append([])

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1][0] == tag, f"</{tag}> closes <{self._open[-1][0]}>"
        self._open.pop()

    def handle_data(self, data):
        for _tag, place in self._open:
            self._pieces[place].append(data)

    def handle_comment(self, data):
        self.comments.append(data)

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and the names of their attributes: what no text may change."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def all(self, tag: str, **wanted: str) -> list[str]:
        """The texts of elements; wanted: attributes that they must have (class_ for class)."""
        return [
            self.texts[place]
            for place, (name, attributes) in enumerate(self.elements)
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _tag, found in self.elements for key, value in found.items() if key == name]
