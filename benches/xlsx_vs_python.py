"""The same workbook by us, by XlsxWriter in its constant-memory mode, and by openpyxl in its write-only mode.

    pip install XlsxWriter openpyxl
    cargo bench -p netstats-bench --bench export --no-run
    python3 benches/xlsx_vs_python.py $(ls -t target/release/deps/export-* | grep -v '\\.d$' | head -1)

1,000,000 rows of twelve columns (NETSTATS_ROWS). Ours has the report's other sheets and charts too, and computes every
row from a burst of ten round trips; theirs get finished values and write one sheet. Prints seconds, memory, ratios.
"""

import datetime
import os
import sys
import tempfile
import time

ROWS = int(os.environ.get("NETSTATS_ROWS", 1_000_000))
HEAD = ["timestamp", "position", "job", "destination", "status", "response_time_ms", "min_ms", "mean_ms", "max_ms",
        "jitter_ms", "packet_loss_percent", "packets_sent"]
START = datetime.datetime(2026, 9, 21)


def rows():
    for number in range(ROWS):
        rtt = 10 + (number * 7919 % 3000) / 1000
        yield [START + datetime.timedelta(minutes=number // 100), number + 1, "office", f"destination {number % 100 + 1}",
               "success", rtt, rtt - 0.5, rtt + 0.125, rtt + 2, 0.75, 0.0, 10]


def xlsxwriter(path):
    import xlsxwriter
    book = xlsxwriter.Workbook(path, {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss.000"})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, HEAD)
    for at, row in enumerate(rows(), 1):
        for column, value in enumerate(row):
            sheet.write(at, column, value)
    book.close()


def openpyxl(path):
    import openpyxl
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(HEAD)
    for row in rows():
        sheet.append(row)
    book.save(path)


def measured(command):
    begin = time.monotonic()
    child = os.posix_spawn(command[0], command, dict(os.environ))
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{command} ended with {status}")
    return time.monotonic() - begin, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    if sys.argv[1] in ("xlsxwriter", "openpyxl"):
        globals()[sys.argv[1]](sys.argv[2])
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "ours": [sys.argv[1], "xlsx", f"{folder}/ours.xlsx"],
            "XlsxWriter": [sys.executable, __file__, "xlsxwriter", f"{folder}/xlsxwriter.xlsx"],
            "openpyxl": [sys.executable, __file__, "openpyxl", f"{folder}/openpyxl.xlsx"],
        }
        figures = {name: measured(command) for name, command in runs.items()}
        for name, (seconds, mib, cpu) in figures.items():
            ratio, by_cpu = seconds / figures["ours"][0], cpu / figures["ours"][2]
            print(f"{name:10} {seconds:7.1f} s {mib:7.0f} MiB {cpu:7.1f} s of CPU; {ratio:5.1f} times ours, {by_cpu:5.1f} by CPU")
