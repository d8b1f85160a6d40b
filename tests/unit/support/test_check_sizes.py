from tests.support.check_sizes import FILE_FAILS, FUNCTION_FAILS, python_files, too_long


def function_of(lines: int) -> str:
    return "def long():\n" + "    x = 1\n" * (lines - 1)


def test_a_function_at_the_limit_passes_and_one_over_it_is_named() -> None:
    assert list(too_long(function_of(FUNCTION_FAILS))) == []
    [finding] = too_long(function_of(FUNCTION_FAILS + 1))
    assert finding.startswith(f":1: long has {FUNCTION_FAILS + 1} lines")


def test_a_method_and_a_coroutine_count_as_functions() -> None:
    method = "class A:\n" + "".join("    " + line for line in function_of(61).splitlines(keepends=True))
    assert len(list(too_long(method))) == 1
    assert len(list(too_long("async " + function_of(61)))) == 1


def test_a_file_over_the_limit_is_named() -> None:
    assert list(too_long("x = 1\n" * FILE_FAILS)) == []
    [finding] = too_long("x = 1\n" * (FILE_FAILS + 1))
    assert f"{FILE_FAILS + 1} lines" in finding


def test_the_files_that_are_measured_are_ours() -> None:
    names = {path.name for path in python_files()}
    assert "check_sizes.py" in names
    assert not [path for path in python_files() if ".venv" in path.parts]
