//! What the fuzzer runs on any bytes, and what it begins with. Compiled for it and for tests alone.

use std::path::Path;

/// A config file: refused with its name and a reason, or taken; what it declares is turned into what the inventory
/// understands.
pub fn config(bytes: &[u8]) {
    match crate::config::parse(Path::new("x.ron"), bytes) {
        Ok(config) => drop((config.desired(None), config.summary())),
        Err(problem) => assert!(problem.to_string().starts_with("x.ron:"), "{problem}"),
    }
}

#[cfg(test)]
#[path = "../../../fixtures/fuzz/kept.rs"]
mod kept;

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_found_is_taken() {
        super::kept::take("config", Vec::new(), super::config);
    }
}
