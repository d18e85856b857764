//! The report on paper: LibreOffice opens it, without a repair, and prints every sheet with what it should say.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use netstats_event::{Metric, ProbeKind, Timestamp};
use netstats_export::{Export, Format, columns_named};
use netstats_series::AccountBasis;
use support::{START_MS, accounts, everything, folder, names, report_head};

/// The file as a PDF; none (and a SKIP line) without LibreOffice.
fn printed(file: &Path) -> Option<String> {
    for program in ["soffice", "pdftotext"] {
        if Command::new(program).arg(if program == "soffice" { "--version" } else { "-v" }).output().is_err() {
            let mut err = std::io::stderr().lock();
            writeln!(err, "SKIP: {program} is not installed (apt-get install libreoffice-calc poppler-utils)").unwrap();
            return None;
        }
    }
    let place = file.parent().unwrap();
    let profile = format!("-env:UserInstallation=file://{}", place.join("profile").display());
    let output = Command::new("soffice")
        .args([&profile, "--headless", "--norestore", "--convert-to", "pdf", "--outdir"])
        .arg(place)
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.to_lowercase().contains("error"), "{said}");
    let text = Command::new("pdftotext").arg("-layout").arg(file.with_extension("pdf")).arg("-").output().unwrap();
    assert!(text.status.success(), "{}", String::from_utf8_lossy(&text.stderr));
    Some(String::from_utf8(text.stdout).unwrap())
}

#[test]
fn libreoffice_prints_every_sheet() {
    let place = folder().join("libreoffice");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    let file = place.join("report.xlsx");
    let mut head = report_head();
    head.range.end = Timestamp::from_millis(START_MS + 192 * 3_600_000);
    let columns = ["timestamp", "destination", "metric", "status", "response_time_ms", "packet_loss_percent", "error"];
    let metrics = vec![Metric::Ping, Metric::Dns, Metric::Bandwidth, Metric::Tcp];
    let columns = columns_named(columns).unwrap();
    let mut accounts = accounts(&everything(), &head.range);
    // By the pings alone: the others answered all the time.
    let only_pings = |basis: &mut AccountBasis| basis.streams.retain(|stream| stream.probe == ProbeKind::Ping);
    accounts.values_mut().for_each(only_pings);
    let export = Export { format: Format::Xlsx, head, names: names(), metrics, columns, accounts };
    export.write([Ok(everything())].into_iter(), None, File::create(&file).unwrap()).unwrap();
    let Some(text) = printed(&file) else { return };
    for words in [
        "Network quality",
        "Of 7680 pings to 2 destinations",
        "There was one outage; see the sheet Outages.",
        "DNS lookups",
        "All 16 bandwidth tests succeeded.",
        "Success rate by day",
        "Response time",
        "Distribution of round trips",
        "Monday",
        "No route was traced in this range.",
        "example.net AAAA",
        "Down median",
        "About this report",
        "Zürich; gateway",
        "=1+1",
        "response_time_ms",
        "2026-10-25",
    ] {
        assert!(text.contains(words), "{words:?} is not on paper:\n{}", &text[..text.len().min(6_000)]);
    }
    for wrong in ["#REF!", "#NAME?", "#VALUE!", "#####", "Err:5"] {
        assert!(!text.contains(wrong), "{wrong} is on paper");
    }
}
