"""What the builder of a page lets through, and what it never does."""

from __future__ import annotations

import pytest

from v2drop_cli.report.html.markup import joined, lines, tag


@pytest.mark.parametrize("text", ["<script>", "</p>", "a & b", "\"'"])
def test_text_is_escaped_inside_and_in_attributes(text):
    made = tag("p", text, title=text)
    assert made.count("<") == made.count(">") == 2
    assert "&" in made.removeprefix("<p title=")
    assert made.count('"') == 2


def test_markup_is_not_escaped_twice_and_nothing_is_left_out():
    inner = tag("b", "<")
    assert joined([inner, None, ["x", inner]]) == "<b>&lt;</b>x<b>&lt;</b>"


@pytest.mark.parametrize("name", ["onclick", "onerror", "style", "ONLOAD"])
def test_what_could_act_is_refused(name):
    with pytest.raises(ValueError, match="does not belong"):
        tag("p", **{name: "x"})


@pytest.mark.parametrize(
    ("name", "address"),
    [("href", "javascript:alert(1)"), ("href", "https://example.org"), ("src", "data:text/html,x"),
     ("href", " #a"), ("srcdoc", "<p>")],
)  # fmt: skip
def test_no_address_leads_out(name, address):
    with pytest.raises(ValueError, match="leads out"):
        tag("a", **{name: address})


def test_a_break_is_offered_where_a_name_has_one():
    assert lines("a,\n<b>") == "a,<wbr>&lt;b&gt;"
