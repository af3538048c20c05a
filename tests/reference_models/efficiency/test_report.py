"""What rows say together: exponents, tables and verdicts beside LRA's figures."""

import pytest

from reference_models.attention.catalogue import attention_names
from reference_models.efficiency.report import exponent, lra_ratio, table, verdicts
from tests.support.efficiency_rows import all_models, made_up


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_is_exact(power: float) -> None:
    rows = [made_up("linear", length, 3e-6 * length**power) for length in (2048, 3072, 4096, 8192)]
    # neither another model nor what lies outside the range matters
    rows += [made_up("local", 4096, 1.0), made_up("linear", 1024, 9.0), made_up("linear", 16384, 9.0)]
    assert exponent(rows, "linear") == pytest.approx(power, abs=1e-12)
    assert exponent(rows, "local") is None
    assert exponent([row for row in rows if row.length != 8192], "linear") is None
    without = [row for row in rows if row.length != 2048]
    assert exponent([*without, made_up("linear", 2048, None)], "linear") is None
    assert exponent(without, "linear", shortest=3072) == pytest.approx(power, abs=1e-12)


def test_of_two_rows_the_later_counts_and_of_two_settings_none() -> None:
    rows = [made_up("linear", length, 1.0) for length in (2048, 8192)]
    assert exponent([*rows, made_up("linear", 8192, 4.0)], "linear") == pytest.approx(1.0)
    with pytest.raises(ValueError, match="rows of one threads, got 1, 2"):
        exponent([*rows, made_up("local", 2048, 1.0, threads=2)], "linear")
    with pytest.raises(ValueError, match="measure first"):
        table([])


def test_table_has_each_model_and_figure() -> None:
    rows = [
        *all_models(),
        made_up("local", 32768, None, outcome="failed", error="boom", saved_bytes=None),
        made_up("linear", 32768, 2.0, outcome="time cap"),
    ]
    text = table(rows)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    heads = [line for line in lines if line[1] == "1,024"]
    assert [head[1:] for head in heads] == [["1,024", "2,048", "3,072", "4,096", "8,192", "16,384", "32,768"]] * 4
    for name in attention_names():
        assert len([line for line in lines if line[0] == name]) == 4, name
    speed, over_naive, over_sdpa, saved = [line for line in lines if line[0] == "local"]
    (row,) = [row for row in rows if (row.model, row.length) == ("local", 4096)]
    assert row.median_seconds is not None
    assert speed[4] == f"{1 / row.median_seconds:.3g}"
    assert over_naive[4] == f"{10 / row.median_seconds:.2f}× (5.29×)"
    assert over_sdpa[4] == f"{5 / row.median_seconds:.2f}×"
    assert saved[4] == "3.0 of 12.0"
    assert speed[7] == over_naive[7] == saved[7] == "failed"
    assert next(line[7] for line in lines if line[0] == "linear") == "0.5†"
    assert [line[5] for line in lines if line[0] == "full"] == ["–"] * 4
    assert "linear 1.20" in text
    assert all(f"- {line}" in text for line in verdicts(rows))


def test_verdicts_compare_with_the_paper() -> None:
    assert lra_ratio("linear", 4096) == 7.8 / 1.4
    assert lra_ratio("synthesizer", 3072) == 6.6 / 2.3
    assert lra_ratio("linear", 8192) is lra_ratio("full", 4096) is None
    rows = [
        made_up("local", 4096, 10 / (7.4 / 1.4) * 0.9999),
        made_up("linear", 4096, 10 / (7.8 / 1.4) * 1.0001),
        made_up("reformer", 4096, None, outcome="out of memory", error="killed"),
    ]
    found = {line.split(" at ")[0]: line.split(": ", 1)[1] for line in verdicts(rows)}
    assert list(found) == [
        "local", "linformer", "reformer", "sinkhorn", "synthesizer", "bigbird", "linear", "performer"
    ]  # fmt: skip
    assert found["local"] == "yes, 5.29× the naive Transformer, LRA 5.29×"
    assert found["linear"] == "no, 5.57× the naive Transformer, LRA 5.57×"
    assert found["reformer"] == "LRA 0.79×, here none: killed"
    assert found["performer"] == "LRA 5.71×, here none: not measured"
