"""Names that are nearly right."""

from jaxdd.errors import nearest


def test_the_most_similar_name_is_offered() -> None:
    known = {"vico": 1, "mtt": 2}
    assert nearest("vicco", known) == " Did you mean 'vico'?"
    assert nearest("resnet", known) == ""
    assert nearest("vi", known, cutoff=0.9) == ""
