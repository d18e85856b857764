//! `network-stats verify-pack`: whether an evidence pack holds, without the product and its log.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use netstats_export::verify_pack;

use crate::ask::say;
use crate::exit::Usage;

/// Hexadecimal digits of a public key.
const KEY_DIGITS: usize = 64;

/// Says what the pack is about, and what is wrong with it.
///
/// # Errors
/// It does not hold, or is no pack.
pub(crate) fn run(file: &Path, key: Option<&str>) -> Result<()> {
    if let Some(key) = key
        && (key.trim().len() != KEY_DIGITS || !key.trim().bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(Usage(format!("--key is not a public key: {KEY_DIGITS} hexadecimal digits")).into());
    }
    let pack = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let verdict = verify_pack(pack, key)?;
    say(&format!("{}: {}", verdict.title, verdict.scope));
    say(&format!(
        "made by {}, resting on position {} with chain {}",
        verdict.generator, verdict.head.0, verdict.head.1
    ));
    say(&format!("signed with the key {}", verdict.public_key));
    say(&format!("{} records proved, {} cells compared", verdict.records, verdict.cells));
    if verdict.unproved_streams > 0 {
        say(&format!(
            "availability rests also on {} streams of checks whose records are not in the pack: the signature alone stands for them",
            verdict.unproved_streams
        ));
    }
    if !verdict.holds() {
        verdict.problems.iter().for_each(|problem| say(&format!("WRONG: {problem}")));
        if verdict.more_problems > 0 {
            say(&format!("WRONG: and {} more", verdict.more_problems));
        }
        bail!("{} does not hold", file.display());
    }
    match key {
        Some(_) => say("the pack holds: every figure follows from the records, and that key signed it"),
        None => say("the pack holds in itself; whose key that is, its owner must say (--key HEX)"),
    }
    Ok(())
}
