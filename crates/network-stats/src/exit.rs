//! Exit codes: what a service manager or a script learns from the end of the process.

use std::fmt;

use netstats_log::ErrorKind;

use crate::config::Problem;

/// It failed.
pub(crate) const FAILURE: u8 = 1;
/// The config file or the command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The log is damaged.
pub(crate) const DAMAGED: u8 = 3;
/// It did not stop in time.
pub(crate) const STUCK: u8 = 4;

/// A wrong command line, beyond what the parser sees.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The code for what went wrong.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    let is_corrupt = |error: &netstats_log::Error| error.kind() == ErrorKind::Corrupt;
    for cause in error.chain() {
        if cause.is::<Problem>() || cause.is::<Usage>() {
            return USAGE;
        }
        if cause.downcast_ref::<netstats_log::Error>().is_some_and(is_corrupt) {
            return DAMAGED;
        }
    }
    FAILURE
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn the_cause_decides_the_code() {
        assert_eq!(code_of(&anyhow!("no")), FAILURE);
        assert_eq!(code_of(&Usage("no".into()).into()), USAGE);
        let corrupt = netstats_log::Error::new(ErrorKind::Corrupt, "a hole");
        let wrapped = Err::<(), _>(corrupt).context("while opening").unwrap_err();
        assert_eq!(code_of(&wrapped), DAMAGED);
        assert_eq!(code_of(&netstats_log::Error::new(ErrorKind::Unavailable, "full").into()), FAILURE);
    }
}
