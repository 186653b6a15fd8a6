"""The urls in a style sheet."""

import pytest

from flagon.css import references, rewrite


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a{b:url(x.png)}", ["x.png"]),
        ("a{b:url( x.png )}", ["x.png"]),
        ("a{b:url('x.png')}", ["x.png"]),
        ('a{b:url( "x y.png" )}', ["x y.png"]),
        ('a{b:URL("../x.png?v=1#i")}', ["../x.png"]),
        ("a{b:url(x.eot?#iefix),url(x.eot)}", ["x.eot"]),
        ('@import "x.css" screen;', ["x.css"]),
        ("@import url(x.css);@IMPORT 'y.css';", ["x.css", "y.css"]),
        ("a{b:url(data:image/png;base64,AA==)}", []),
        ("a{b:url('data:image/svg+xml,<svg fill=\"url(#a)\"/>')}", []),
        ("a{b:url(#fragment)}", []),
        ("a{b:url()}", []),
        ("/* url(x.png) */a{b:url(y.png)}", ["y.png"]),
        ("a{b:url(x\\ y.png)}", []),
        ("a{content:'url(x.png)'}", ["x.png"]),  # harmless: it stands for a file of that name, or nothing is replaced
        ("a{b:curl(x.png)}", []),
        ("a{b:url('x.png}", []),
        ("", []),
    ],
)
def test_references(text, found):
    assert list(references(text.encode())) == found


def test_only_the_path_is_replaced():
    text = b"""a{b:url( 'x.png?v=1#i' )} @import "x.css"; /* url(x.png) */ c{d:url(z.png)}"""
    assert rewrite(text, {"x.png": "x.1.png", "x.css": "x.2.css"}) == (
        b"""a{b:url( 'x.1.png?v=1#i' )} @import "x.2.css"; /* url(x.png) */ c{d:url(z.png)}"""
    )


def test_bytes_that_are_no_text_stay():
    text = b"a{b:url(\xff.png)} c{d:url(x.png)} \xfe"
    assert list(references(text)) == ["x.png"]
    assert rewrite(text, {"x.png": "y.png"}) == b"a{b:url(\xff.png)} c{d:url(y.png)} \xfe"
