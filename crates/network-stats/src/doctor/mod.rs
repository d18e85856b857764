//! `network-stats doctor`: looks at everything a start needs, and says of each what it found and what to do. It changes
//! nothing, and sends nothing to anybody unless asked to (`--online`).

mod checks;
mod judge;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::ask::say;
use crate::cli::Settings;
use crate::exit;
use crate::paths::Places;

/// What is looked at.
#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Also look up the host names that the config file declares, and ping the default gateway once
    #[arg(long)]
    online: bool,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Fine,
    /// It works, and could be better.
    Advice,
    /// It keeps the product from its work.
    Fault,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// What the process would end with because of it.
    #[serde(skip)]
    code: u8,
}

impl Finding {
    fn fine(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fine, found: found.into(), fix: None, code: 0 }
    }

    fn advice(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Advice, fix: Some(fix.into()), ..Self::fine(check, found) }
    }

    fn fault(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fault, code: exit::FAILURE, ..Self::advice(check, found, fix) }
    }

    /// Where it is fine, still a word on what may come.
    fn hint(self, hint: impl Into<String>) -> Self {
        Self { fix: Some(hint.into()), ..self }
    }

    fn ending_with(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    verdict: Verdict,
    exit_code: u8,
    checks: &'a [Finding],
}

/// Looks, says, and returns the exit code: that with which a start would end as things are.
///
/// # Errors
/// The report cannot be written as JSON.
pub(crate) fn run(settings: &Settings, arguments: &DoctorArgs) -> Result<u8> {
    let findings = checks::all(settings, &Places::here(), arguments.online);
    let exit_code = findings.iter().map(|finding| finding.code).max().unwrap_or(0);
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fine);
    if arguments.json {
        let report = Report { version: env!("CARGO_PKG_VERSION"), verdict, exit_code, checks: &findings };
        say(&serde_json::to_string_pretty(&report)?);
        return Ok(exit_code);
    }
    for Finding { check, verdict, found, fix, .. } in &findings {
        let mark = match verdict {
            Verdict::Fine => "fine  ",
            Verdict::Advice => "ADVICE",
            Verdict::Fault => "FAULT ",
        };
        say(&format!("{mark}  {check:12} {found}"));
        if let Some(fix) = fix {
            say(&format!("{:22} -> {fix}", ""));
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.verdict == wanted).count();
    say(&format!(
        "{} checks: {} fine, {} advice, {} faults",
        findings.len(),
        count(Verdict::Fine),
        count(Verdict::Advice),
        count(Verdict::Fault)
    ));
    Ok(exit_code)
}
