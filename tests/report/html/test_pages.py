"""The pages: what they say, that hostile text stays text, and that nothing leads out of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.report import factory
from tests.report.regenerate import changes
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Answer, Caveat
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.finding import summarised
from v2drop_cli.report.html.bench_page import NOTHING_COMPARED, to_html
from v2drop_cli.report.html.compare_page import changes_to_html
from v2drop_cli.report.html.page import PLAIN_MOST, TERMS_TITLE, Page, Part
from v2drop_cli.report.terms import TERMS
from v2drop_cli.report.view import Cell

EVIL = (
    "<script>document.title='owned'</script></style></script><img src=x onerror=alert(1)>"
    '<a href="javascript:alert(1)">x</a>\'"--><svg onload=alert(1)>&#60;b&#62;'
)
ATTRIBUTES = {"href", "src", "srcdoc", "action", "formaction"}


class Read(HTMLParser):
    """A page as a browser takes it apart: elements, addresses, and the text of each element."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.ids, self.links, self.texts, self.open = [], [], [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.open.append(name)
        for key, value in attributes:
            assert not key.startswith("on")
            assert key != "style"
            if key in ATTRIBUTES:
                assert value.startswith(("#", "data:")), value
                self.links.append(value)
            if key == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def handle_endtag(self, name):
        while self.open and self.open.pop() != name:
            pass

    @property
    def text(self):
        return " ".join(part for parts in self.texts.values() for part in parts)


def evil_report():
    """Every text that comes from outside is hostile."""
    whole = factory.profiled()
    media = (replace(factory.IMAGE, path=f"/tmp/{EVIL}"),)
    arms = tuple(
        replace(arm, label=f"{arm.label}{EVIL}", answer=Answer(f"{EVIL}{at}", (1, at)))
        for at, arm in enumerate(whole.arms)
    )
    named = {arm.label: f"{arm.label}{EVIL}" for arm in whole.arms}
    return replace(
        whole,
        environment={EVIL: EVIL},
        request=factory.request(media=media, prompt=EVIL, model=EVIL),
        arms=arms,
        comparisons=tuple(
            replace(c, arm=named[c.arm], reference=named[c.reference]) for c in whole.comparisons
        ),
        random_comparisons=(),
        warnings=(Caveat("odd", EVIL),),
        command=EVIL,
        lead=None,
    )


@pytest.mark.parametrize("name", factory.REPORTS)
def test_every_report_has_a_page_whose_links_lead_somewhere(name):
    report = judged(factory.REPORTS[name]())
    page = to_html(report)
    read = Read(page)
    inside = [link[1:] for link in read.links if link.startswith("#")]
    assert inside
    assert set(inside) <= set(read.ids)
    assert len(set(read.ids)) == len(read.ids)
    finding = build_view(report).finding
    assert (finding.text if finding else NOTHING_COMPARED) in read.text
    assert len(page) < 1_000_000
    assert read.tags.count("script") == read.tags.count("style") == 1


def test_hostile_text_is_text_and_nothing_else():
    read, plain = (Read(to_html(judged(each))) for each in (evil_report(), factory.profiled()))
    assert {"img", "a"} & set(read.tags) == {"a"}
    assert read.tags.count("script") == 1
    assert set(read.tags) - {"svg"} <= {*plain.tags, "mark", "wbr", "pre", "code"}
    assert read.text.count("<script>document.title='owned'</script>") >= 8
    away = [link for link in read.links if not link.startswith("#")]
    assert [link.split(",")[0] for link in away] == ["data:", "data:application/json;base64"]


def test_the_policy_allows_the_two_that_are_there_and_nothing_else():
    page = to_html(judged(evil_report()))
    [policy] = re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#x27;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {
        "default-src", "style-src", "script-src", "img-src", "base-uri", "form-action",
    }  # fmt: skip
    assert rules["img-src"] == "data:"
    for name in ("style", "script"):
        [own] = re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def saved(page):
    """The document in the page, and the name that it is saved under."""
    [(kind, data, name)] = re.findall(
        'href="data:application/([a-z]+);base64,([^"]*)" download="([^"]*)"', page
    )
    raw = base64.b64decode(data)
    return (gzip.decompress(raw) if kind == "gzip" else raw).decode(), name


def test_the_document_is_in_the_page():
    report = judged(evil_report())
    text, name = saved(to_html(report))
    assert (text, name) == (report.dumps(), "report.json")


def test_a_long_document_is_packed():
    long = judged(factory.report(command="x" * PLAIN_MOST))
    page = to_html(long)
    text, name = saved(page)
    assert (text, name) == (long.dumps(), "report.json.gz")
    assert len(page) < 2 * PLAIN_MOST + 100_000


def test_definitions_are_where_the_numbers_lead():
    """All that are linked, in the order of the work, and none that the page does not use."""
    read = Read(to_html(judged(factory.profiled())))
    linked = {link.removeprefix("#term-") for link in read.links if link.startswith("#term-")}
    assert {
        "prefill", "speedup", "noise", "null", "ideal", "kv_cache", "weights", "arm", "interval",
        "end_to_end",
    } <= linked  # fmt: skip
    explained = [name for name in read.ids if name.startswith("term-")]
    assert explained == [f"term-{name}" for name in TERMS if name in linked]
    assert "growth" not in linked


def test_a_page_without_terms_has_no_list_of_them():
    page = Page("t", Cell("f"), None, [Part("a", "A", "text")], "{}", "a.json").html()
    assert "terms" not in Read(page).ids
    assert TERMS_TITLE not in page


def test_what_is_folded_has_its_name_inside_and_the_contents_lead_there():
    parts = [Part("a", "A", "text"), Part("b", "B", "more", folded=True)]
    page = Page("t", Cell("f"), None, parts, "{}", "a.json").html()
    assert '<section id="a"><h2>A</h2>text</section>' in page
    assert (
        '<section><details><summary><h2>B</h2></summary><div id="b">more</div></details></section>'
    ) in page
    assert '<a href="#b">B</a>' in page


def test_the_wait_from_files_to_the_last_token_is_beside_the_speed_ups():
    """Its ratio is of the rounds, as theirs is; dense has the time alone."""
    page = to_html(judged(factory.profiled())).replace("\u00a0", " ")
    table = page.split('id="glance"')[1].split("</table>")[0]
    assert table.count('href="#term-end_to_end"') == 1
    cells = [line.split("</td>")[3].split(">")[-1] for line in table.split("<tr>")[2:]]
    assert cells[0] == "428 ms"
    assert cells[1] == "1.37x (312 ms)"


def test_without_that_time_there_is_no_such_column():
    report = factory.profiled()
    arms = [replace(arm, timing=replace(arm.timing, end_to_end_s=None)) for arm in report.arms]
    page = to_html(judged(replace(report, arms=tuple(arms))))
    assert 'href="#term-end_to_end"' not in page.split('id="glance"')[1].split("</table>")[0]
    some = to_html(judged(replace(report, arms=(report.arms[0], *arms[1:]))))
    assert ">n/a</td>" in some.split('id="glance"')[1].split("</table>")[0]


def test_the_comparison_has_a_page_too():
    found, report = changes(), factory.profiled()
    page = changes_to_html(found, (report, report), f"v2drop compare {EVIL}")
    read = Read(page)
    assert "B is " in " ".join(read.texts["h1"])
    assert EVIL in read.text
    assert json.loads(saved(page)[0]) == json.loads(found.dumps())
    assert {"prefill", "kv_cache"} <= {link.removeprefix("#term-") for link in read.links}


def test_the_summary_is_the_sentence_with_plain_spaces():
    report = judged(factory.profiled())
    told = summarised(report, "v2drop run")
    assert told.summary == build_view(report).finding.text.replace("\u00a0", " ")
    assert told.command == "v2drop run"
    assert summarised(factory.dense_only(), None).summary is None
