"""How other code bases read the benchmark, as data: `lra-2020`, `s4`, `mega`, `nystromformer`.

Each module states one protocol; `lra_data/loading/batch_making/protocol_rows.py` applies those readings that are exact.
"""
