"""What is generated from the code and committed says what the code says now."""

from pathlib import Path

from tests.support import generate


def test_generated_documents_are_up_to_date() -> None:
    assert generate.out_of_date() == []


def test_a_missing_or_changed_document_is_noticed_and_written(tmp_path: Path) -> None:
    assert generate.out_of_date(tmp_path) == list(generate.DOCUMENTS)
    assert generate.write(tmp_path) == list(generate.DOCUMENTS)
    assert generate.out_of_date(tmp_path) == []
    (tmp_path / "docs/settings.md").write_text("something else")
    assert generate.out_of_date(tmp_path) == ["docs/settings.md"]
